from threading import Event, Thread

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_plugins.resident import sparse
from rag_plugins.resident.selection import loops, prepare
from rag_plugins.resident.sparse import SparseIndex
from rag_plugins.vectors import SparseVector

TOP = 2**32 - 1

prepare(10**6)


def vector(**weights):
    return SparseVector.of({int(name[1:]): weight for name, weight in weights.items()})


def made(*vectors):
    index = SparseIndex()
    for one in vectors:
        index.append([one])
    return index


def found(index, query, limit=9, mask=None):
    rows, scores = index.search(query, limit, mask)
    return dict(zip(rows.tolist(), scores.tolist(), strict=True))


@pytest.fixture(params=["compiled", "numpy"])
def way(request, monkeypatch):
    """Both ways to add up and to choose."""
    if request.param == "numpy":
        monkeypatch.setattr(sparse, "loops", lambda: None)
        monkeypatch.setattr("rag_plugins.resident.selection.loops", lambda: None)
    elif loops() is None:
        pytest.skip("numba is not installed")


def test_the_inner_product_of_the_best_rows(way):
    index = made(vector(d1=1.0, d5=2.0), vector(d5=1.0), vector(), vector(d1=4.0, d7=9.0))
    index.append([vector(d5=0.5), SparseVector.of({TOP: 1.0, 0: 2.0})])

    assert len(index) == 6
    assert found(index, vector(d1=1.0, d5=3.0)) == {0: 7.0, 1: 3.0, 3: 4.0, 4: 1.5}
    assert found(index, vector(d1=1.0, d5=3.0), limit=2) == {0: 7.0, 3: 4.0}
    assert found(index, SparseVector.of({TOP: 3.0, 0: 1.0})) == {5: 5.0}
    assert found(index, vector(d2=1.0)) == found(index, vector()) == {}


def test_equal_scores_at_the_end_are_all_given(way):
    index = made(*[vector(d1=1.0)] * 20, vector(d1=2.0))

    assert found(index, vector(d1=1.0), limit=3) == {row: 1.0 for row in range(20)} | {20: 2.0}


def test_a_mask_says_which_rows_may_be_found_and_none_of_those_after(way):
    index = made(*[vector(d1=float(weight)) for weight in range(1, 9)])

    assert found(index, vector(d1=1.0), mask=np.array([True, False, True])) == {0: 1.0, 2: 3.0}
    assert found(index, vector(d1=1.0), limit=1, mask=np.arange(99) % 2 == 0) == {6: 7.0}
    assert found(index, vector(d1=1.0), mask=np.empty(0, np.bool_)) == {}
    assert found(index, vector(d1=1.0), limit=1) == {7: 8.0}


def test_only_scores_above_0_are_found(way):
    index = made(vector(d1=1.0, d2=1.0), vector(d2=3.0), vector(d1=1.0))

    assert found(index, vector(d1=2.0, d2=-2.0)) == {2: 2.0}


def test_an_empty_index(way):
    index = SparseIndex()
    index.append([])

    assert len(index) == 0
    assert found(index, vector(d1=1.0)) == {}
    assert len(SparseIndex.of(index.arrays())) == len(index.kept(np.empty(0, np.int64))) == 0


weights = st.floats(0.0625, 5.0, width=32)
vectors = st.dictionaries(st.integers(0, 12) | st.sampled_from([2**31, TOP]), weights, max_size=6).map(
    SparseVector.of
)
batches = st.lists(st.lists(vectors, max_size=6), max_size=12)


def grown(appended):
    index = SparseIndex()
    for batch in appended:
        index.append(batch)
    return index


@given(batches, vectors, st.integers(1, 20), st.lists(st.booleans(), max_size=80) | st.none())
def test_numpy_and_compiled_loops_give_the_same_which_is_the_inner_product(appended, query, limit, flags):
    index, rows = grown(appended), [row for batch in appended for row in batch]
    mask = None if flags is None else np.array(flags, np.bool_)
    allowed = [row for row in range(len(rows)) if flags is None or (row < len(flags) and flags[row])]
    scores = {row: rows[row].dot(query) for row in allowed if rows[row].dot(query) > 0}

    result = found(index, query, limit, mask)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sparse, "loops", lambda: None)
        patch.setattr("rag_plugins.resident.selection.loops", lambda: None)
        assert found(index, query, limit, mask) == result

    assert len(result) >= min(limit, len(scores))
    assert result == pytest.approx({row: scores[row] for row in result}, rel=1e-5)
    assert all(score <= min(result.values()) * 1.00001 for row, score in scores.items() if row not in result)


@given(batches, st.data())
def test_vectors_copies_and_arrays_are_what_was_put(appended, data):
    index, rows = grown(appended), [row for batch in appended for row in batch]
    order = data.draw(st.permutations(range(len(rows))))[: data.draw(st.integers(0, len(rows)))]

    copy = index.kept(np.array(order, np.int64))
    arrays = index.arrays()
    for array in arrays.values():
        array.flags.writeable = False  # As what has been read from a file may be.
    again = SparseIndex.of(arrays)
    again.append([vector(d1=1.0)])

    assert index.vectors(np.arange(len(rows))) == rows
    assert [index.vector(row) for row in order[:1]] == [rows[row] for row in order[:1]]
    assert copy.vectors(np.arange(len(order))) == [rows[row] for row in order]
    assert again.vectors(np.arange(len(rows) + 1)) == [*rows, vector(d1=1.0)]
    for query in (vector(d1=1.0, d3=2.0), SparseVector.of({TOP: 1.0})):
        expected = found(index, query, 99)
        assert found(copy, query, 99) == {
            place: expected[row] for place, row in enumerate(order) if row in expected
        }


def test_many_small_batches_leave_few_parts():
    index = made(*[vector(**{f"d{row % 7}": 1.0}) for row in range(500)])

    assert len(index._parts) <= 5
    assert len(found(index, vector(d3=1.0), limit=99)) == 71


def test_readers_beside_a_writer_see_whole_batches(way):
    index, done, seen = SparseIndex(), Event(), set()

    def read():
        while not done.is_set():
            rows, scores = index.search(vector(d1=1.0), 10_000, None)
            seen.add((len(rows) % 16, *set(scores.tolist())))

    readers = [Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for _ in range(100):
        index.append([vector(d1=2.0, d2=1.0)] * 16)
    done.set()
    for reader in readers:
        reader.join()

    assert seen <= {(0,), (0, 2.0)}
