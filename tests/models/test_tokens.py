import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_plugins.errors import BadInput, StoreError
from rag_plugins.models.tokens import (
    MAX_BYTES,
    max_similarities,
    pack_tokens,
    rotation,
    token_count,
    unpack_tokens,
)
from rag_plugins.vectors import normalise


def unit_rows(count: int, dim: int, seed: int = 0):
    return normalise(np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32))


@pytest.mark.parametrize("precision", ["fitted", "int8", "binary"])
@pytest.mark.parametrize("dim", [384, 768, 100, 7])
def test_shape_survives(dim, precision):
    assert unpack_tokens(pack_tokens(unit_rows(9, dim), precision)).shape == (9, dim)
    assert unpack_tokens(pack_tokens(unit_rows(0, dim), precision)).shape == (0, dim)


def test_inner_products_are_estimated_without_bias():
    tokens, query = unit_rows(250, 384), unit_rows(1, 384, seed=1)[0]
    for matrix in (tokens, normalise(tokens + query), normalise(0.5 * tokens + query)):
        error = unpack_tokens(pack_tokens(matrix)) @ query - matrix @ query
        assert abs(error.mean()) < 0.02
        assert error.std() < 0.03


def test_a_dominant_dimension_is_kept():
    """Some models have a dimension that is large for every token: signs alone would lose it."""
    tokens = unit_rows(50, 384)
    tokens[:, 5] = np.linspace(-3, 3, 50)
    tokens = normalise(tokens)
    kept = unpack_tokens(pack_tokens(tokens))[:, 5]
    assert np.corrcoef(kept, tokens[:, 5])[0, 1] > 0.99


def test_256_tokens_of_384_dimensions_take_half_of_the_room():
    assert len(pack_tokens(unit_rows(256, 384))) == 256 * 96 + 14


@pytest.mark.parametrize(("count", "dim"), [(510, 768), (510, 1024), (8190, 1024)])
def test_long_passages_fit_and_still_tell_right_from_wrong(count, dim):
    tokens = unit_rows(count, dim)
    packed = pack_tokens(tokens)
    assert len(packed) <= MAX_BYTES
    query = normalise(np.stack([tokens[3] + 0.1 * tokens[4], unit_rows(1, dim, seed=9)[0]]))
    right, wrong = unpack_tokens(packed)[3] @ query.T
    assert right > wrong + 0.3


@given(st.integers(0, 10**6), st.integers(1, 40), st.sampled_from([4, 16, 100, 128, 320]))
def test_eight_bits_keep_similarities_to_a_hundredth(seed, count, dim):
    tokens, query = unit_rows(count, dim, seed), unit_rows(7, dim, seed + 1)
    data = pack_tokens(tokens, "int8")
    assert len(data) == 14 + count * (dim + 4)
    assert token_count(data) == count
    assert np.abs(unpack_tokens(data) @ query.T - tokens @ query.T).max() < 0.01
    assert max_similarities(query, [data])[0] == pytest.approx((tokens @ query.T).max(axis=0), abs=0.01)


@pytest.mark.parametrize("worst", [np.eye(128, dtype=np.float32), rotation(128)], ids=["axes", "turned"])
def test_eight_bits_have_no_vector_that_they_cannot_hold(worst):
    assert np.abs(unpack_tokens(pack_tokens(worst, "int8")) @ worst.T - worst @ worst.T).max() < 0.01


def test_one_bit_is_what_is_asked_for():
    tokens, query = unit_rows(343, 128), unit_rows(20, 128, seed=1)
    data = pack_tokens(tokens, "binary")
    assert len(data) == 343 * 16 + 14
    error = unpack_tokens(data) @ query.T - tokens @ query.T
    assert abs(error.mean()) < 0.01
    assert error.std() < 0.08


def test_rows_of_nothing_are_kept():
    assert not unpack_tokens(pack_tokens(np.zeros((3, 16), np.float32), "int8")).any()


def test_only_fitted_ones_have_to_fit():
    tokens = unit_rows(1030, 128)
    assert len(pack_tokens(tokens, "int8")) > MAX_BYTES
    assert np.abs(unpack_tokens(pack_tokens(tokens, "int8")) - tokens).max() < 0.01
    assert len(pack_tokens(unit_rows(4000, 128), "binary")) > MAX_BYTES
    assert len(pack_tokens(unit_rows(4000, 128))) <= MAX_BYTES


def test_passages_of_different_precision_compare():
    tokens, query = unit_rows(30, 384), unit_rows(5, 384, seed=2)
    precise, fitted, rough = max_similarities(
        query, [pack_tokens(tokens, how) for how in ("int8", "fitted", "binary")]
    )
    assert fitted == pytest.approx(precise, abs=0.08)
    assert rough == pytest.approx(precise, abs=0.15)


def test_max_similarities_are_those_of_the_unpacked_rows():
    query = unit_rows(5, 384, seed=2)
    packed = [pack_tokens(unit_rows(count, 384, seed=count)) for count in (1, 30, 200)]
    expected = [(unpack_tokens(data) @ query.T).max(axis=0) for data in packed]
    assert max_similarities(query, packed) == pytest.approx(np.stack(expected), abs=1e-4)


def test_a_passage_without_tokens_is_similar_to_nothing():
    assert max_similarities(unit_rows(3, 16), [pack_tokens(unit_rows(0, 16))]).tolist() == [[0.0, 0.0, 0.0]]
    assert max_similarities(unit_rows(3, 16), []).shape == (0, 3)


@given(st.binary(max_size=200))
def test_random_bytes_are_refused(data):
    with pytest.raises(StoreError):
        unpack_tokens(data)


@given(st.integers(0, 13), st.integers(1, 255), st.sampled_from(["fitted", "int8", "binary"]))
def test_a_damaged_header_is_refused(position, change, precision):
    data = bytearray(pack_tokens(unit_rows(3, 16), precision))
    data[position] ^= change
    with pytest.raises(StoreError):
        unpack_tokens(bytes(data))


def test_damage_and_truncation_are_refused():
    data = pack_tokens(unit_rows(3, 16))
    with pytest.raises(StoreError, match="damaged"):
        unpack_tokens(data[:-1])
    with pytest.raises(StoreError, match="damaged"):
        unpack_tokens(data[:-1] + bytes([data[-1] ^ 1]))


def test_another_models_tokens_are_refused():
    with pytest.raises(StoreError, match="16 dimensions, the query's 32"):
        max_similarities(unit_rows(2, 32), [pack_tokens(unit_rows(2, 16))])


@pytest.mark.parametrize(
    "matrix",
    [
        np.zeros(4, np.float32),
        np.zeros((2, 0), np.float32),
        np.full((2, 4), np.nan, np.float32),
        np.zeros((MAX_BYTES, 4), np.float32),
    ],
)
def test_what_is_no_token_matrix_is_refused(matrix):
    with pytest.raises(BadInput, match="token vectors"):
        pack_tokens(matrix)
