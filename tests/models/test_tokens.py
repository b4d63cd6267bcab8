import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_plugins.errors import BadInput, StoreError
from rag_plugins.models.tokens import MAX_BYTES, max_similarities, pack_tokens, unpack_tokens
from rag_plugins.vectors import normalise


def unit_rows(count: int, dim: int, seed: int = 0):
    return normalise(np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32))


@pytest.mark.parametrize("dim", [384, 768, 100, 7])
def test_shape_survives(dim):
    assert unpack_tokens(pack_tokens(unit_rows(9, dim))).shape == (9, dim)
    assert unpack_tokens(pack_tokens(unit_rows(0, dim))).shape == (0, dim)


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


@given(st.integers(0, 13), st.integers(1, 255))
def test_a_damaged_header_is_refused(position, change):
    data = bytearray(pack_tokens(unit_rows(3, 16)))
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
