"""Rotations: orthonormal, in order of energy, the same every time, and whole or refused when read back."""

import base64
import json

import numpy as np
import pytest
from funnel_vectors import spectrum
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rag_plugins.errors import BadInput, StoreError
from rag_plugins.funnel import Funnel, Prefixes, Rotation
from rag_plugins.funnel.rotation import SAMPLE
from rag_plugins.vectors import normalise

rows = st.tuples(st.integers(1, 40), st.integers(1, 24)).flatmap(
    lambda shape: arrays(np.float32, shape, elements=st.floats(-1, 1, width=16))
)
"""Fewer rows than numbers, equal rows and zero rows among them."""


@given(rows)
def test_inner_products_are_kept_at_full_width(vectors):
    vectors = normalise(vectors)
    turned = Rotation.fit(vectors)(vectors)
    assert np.abs(turned @ turned.T - vectors @ vectors.T).max() < 1e-5


@given(rows)
def test_columns_are_orthonormal_and_energies_fall(vectors):
    vectors = normalise(vectors)
    rotation = Rotation.fit(vectors)
    assert np.abs(rotation.columns.T @ rotation.columns - np.eye(rotation.dim)).max() < 1e-5
    energies = (rotation(vectors).astype(np.float64) ** 2).sum(axis=0)
    assert (np.diff(energies) < 1e-4).all()


@given(rows, st.data())
def test_a_narrow_rotation_is_the_beginning_of_the_wide_one(vectors, data):
    width = data.draw(st.integers(1, vectors.shape[1]))
    narrow, wide = Rotation.fit(vectors, width), Rotation.fit(vectors)
    assert (narrow.dim, narrow.width) == (vectors.shape[1], width)
    assert np.array_equal(narrow.columns, wide.columns[:, :width])
    assert np.allclose(narrow(vectors), wide(vectors, width), atol=1e-6)
    assert narrow(vectors[0]).shape == (width,)


def test_leading_numbers_find_what_random_ones_do_not():
    vectors = spectrum(1000, 64)
    rotation = Rotation.fit(vectors)
    kept = np.linalg.norm(rotation(vectors, 8), axis=1).mean()
    assert kept > 0.8 > 0.5 > np.linalg.norm(vectors[:, :8], axis=1).mean()


def test_of_very_many_rows_some_from_all_over_are_read():
    first, last = np.eye(8, dtype=np.float32)[[0, 7]]
    vectors = np.concatenate([np.tile(first, (2 * SAMPLE, 1)), np.tile(last, (SAMPLE, 1))])
    turned = Rotation.fit(vectors, 2)(np.stack([first, last]))
    assert np.allclose(np.abs(turned), np.eye(2), atol=1e-6)


def test_it_fits_as_many_numbers_as_models_have():
    vectors = spectrum(30, 1024)
    rotation = Rotation.fit(vectors, 64)
    assert np.abs(rotation.columns.T @ rotation.columns - np.eye(64)).max() < 1e-5
    # 30 rows span 30 dimensions: the prefix keeps all that there is.
    assert np.allclose(np.linalg.norm(rotation(vectors), axis=1), 1.0, atol=1e-4)


@pytest.mark.parametrize(("count", "width"), [(0, 4), (5, 0), (5, 9)])
def test_what_cannot_be_fitted_is_refused(count, width):
    with pytest.raises(BadInput, match="1 to 8"):
        Rotation.fit(np.zeros((count, 8), np.float32), width)


@given(rows, st.data())
def test_written_down_and_read_it_is_the_same(vectors, data):
    rotation = Rotation.fit(vectors, data.draw(st.integers(1, vectors.shape[1])))
    stored = json.loads(json.dumps(rotation.to_json()))
    assert np.array_equal(Rotation.from_json(stored).columns, rotation.columns)


GOOD = Rotation.fit(spectrum(20, 6), 3).to_json()


@pytest.mark.parametrize(
    "damage",
    [
        None,
        "text",
        {"shape": [6, 3]},
        {"float32": GOOD["float32"]},
        {**GOOD, "shape": [6, 4]},
        {**GOOD, "shape": [3, 6]},
        {**GOOD, "shape": [18]},
        {**GOOD, "shape": "63"},
        {**GOOD, "float32": GOOD["float32"][:-4]},
        {**GOOD, "float32": "!" + GOOD["float32"][1:]},
        {**GOOD, "float32": base64.b64encode(np.full(18, np.nan, "<f4").tobytes()).decode()},
        {**GOOD, "float32": base64.b64encode(np.zeros(18, "<f4").tobytes()).decode()},
    ],
)
def test_a_damaged_one_is_refused_with_the_cure(damage):
    with pytest.raises(StoreError, match="rag-plugins tune"):
        Rotation.from_json(damage)


def test_prefixes_are_cut_of_rotated_vectors_and_full_width_is_not():
    vectors = spectrum(50, 16)
    rotation = Rotation.fit(vectors, 4)
    prefixes = Prefixes(Funnel([(4, 10), (16,)]), rotation)
    assert prefixes.cut(vectors, 16) is vectors
    assert np.allclose(prefixes.cut(vectors, 4), normalise(rotation(vectors)))
    assert np.allclose(prefixes.cut(vectors[0], 2), normalise(rotation(vectors, 2))[0], atol=1e-6)
    plain = Prefixes(Funnel([(4, 10), (16,)]))
    assert np.allclose(plain.cut(vectors, 4), normalise(vectors[:, :4]))


def test_prefixes_written_down_and_read_are_the_same():
    rotation = Rotation.fit(spectrum(50, 16), 4)
    for prefixes in (Prefixes(Funnel([(4, 10), (16,)]), rotation), Prefixes(Funnel([(4,)]))):
        read = Prefixes.from_json(json.loads(json.dumps(prefixes.to_json())))
        assert read.funnel == prefixes.funnel
        assert (read.rotation is None) == (prefixes.rotation is None)


@pytest.mark.parametrize("damage", [None, {}, {"stages": [[4]]}, {"stages": [[0]], "rotation": None}])
def test_damaged_prefixes_are_refused_with_the_cure(damage):
    with pytest.raises(StoreError, match="rag-plugins tune"):
        Prefixes.from_json(damage)
