import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rag_plugins.vectors import SparseVector, normalise, truncate


def test_sparse_vectors_are_sorted_and_drop_zeros():
    vector = SparseVector.of({7: 2.0, 3: 1.0, 5: 0.0})
    assert vector.as_dict() == {3: 1.0, 7: 2.0}
    assert vector.indices.dtype == np.uint32 and vector.values.dtype == np.float32
    assert len(vector) == 2 and vector == SparseVector.of({3: 1.0, 7: 2.0})


weights = st.dictionaries(st.integers(0, 2**32 - 1), st.floats(-10, 10, width=32), max_size=8)


@given(weights, weights)
def test_dot_is_the_inner_product(a, b):
    expected = sum(value * b.get(index, 0.0) for index, value in a.items())
    assert SparseVector.of(a).dot(SparseVector.of(b)) == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_normalise_gives_unit_rows_and_leaves_zero_rows():
    assert normalise(np.array([[3, 4], [0, 0]], np.float32)).tolist() == [
        [pytest.approx(0.6), pytest.approx(0.8)],
        [0.0, 0.0],
    ]


@given(arrays(np.float32, (3, 4), elements=st.floats(-10, 10, width=32)))
def test_truncating_to_full_width_is_normalising(matrix):
    assert np.allclose(truncate(matrix, 4), normalise(matrix))


def test_truncate_renormalises_the_prefix():
    assert truncate(np.array([[3, 4, 100]], np.float32), 2).tolist() == [
        [pytest.approx(0.6), pytest.approx(0.8)]
    ]


@pytest.mark.parametrize("width", [0, 4])
def test_a_width_that_is_not_there_is_refused(width):
    with pytest.raises(ValueError, match=r"outside 1\.\.3"):
        truncate(np.ones((1, 3), np.float32), width)


def test_the_strongest_weights_stay_and_of_equal_ones_the_lower_dimension():
    vector = SparseVector.of({2: 0.5, 3: 2.0, 7: 0.5, 9: 1.0})
    assert vector.strongest(3) == SparseVector.of({2: 0.5, 3: 2.0, 9: 1.0})
    assert vector.strongest(1) == SparseVector.of({3: 2.0})
    assert vector.strongest(4) == vector.strongest(None) == vector
