import threading
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag_plugins.errors import BadInput
from rag_plugins.funnel import Funnel, Prefixes, Rotation
from rag_plugins.resident import dense, kernels, shortlist
from rag_plugins.resident.dense import DenseIndex
from rag_plugins.vectors import normalise

DIM = 24


@pytest.fixture(autouse=True)
def every_path(monkeypatch):
    """Small collections take the ways of large ones."""
    monkeypatch.setattr(dense, "_FEW", 0)
    monkeypatch.setattr(shortlist, "_SAMPLE", 64)


def unit(seed, rows, dim=DIM, alpha=0.6):
    """Vectors whose leading numbers matter most, as a Matryoshka model's do."""
    rng = np.random.default_rng(seed)
    spectrum = np.arange(1, dim + 1) ** -alpha
    return normalise((rng.standard_normal((rows, dim)) * spectrum).astype(np.float32))


def index_of(vectors, prefixes=None, precision="float32", pieces=1):
    index = DenseIndex(vectors.shape[1], precision)
    for piece in np.array_split(vectors, pieces):
        index.append(piece)
    index.set_prefixes(prefixes)
    return index


def ranked(found, limit=None):
    rows, scores = found
    return sorted(zip(rows.tolist(), scores.tolist(), strict=True), key=lambda hit: (-hit[1], hit[0]))[:limit]


def truth(vectors, query, limit):
    scores = vectors.astype(np.float64) @ query.astype(np.float64)
    return np.lexsort((np.arange(len(scores)), -scores))[:limit].tolist()


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 400),
    st.sampled_from([[(24,)], [(6, 400), (24,)], [(3, 400), (10, 400), (24,)], [(8, 400), (23, 400), (24,)]]),
    st.booleans(),
    st.sampled_from(["float32", "float16"]),
    st.integers(1, 30),
)
@settings(deadline=None, max_examples=60)
def test_a_funnel_that_keeps_everything_is_the_exact_search(seed, rows, stages, rotated, precision, limit):
    vectors = unit(seed, rows)
    prefixes = Prefixes(Funnel(stages), Rotation.fit(vectors) if rotated else None)
    index = index_of(vectors, prefixes, precision, pieces=3)
    query = unit(seed + 1, 1)[0]
    mask = np.random.default_rng(seed).random(rows) < 0.7
    for some in (None, mask):
        found = ranked(index.search(query, limit, some))
        assert found == ranked(index.search(query, limit, some, exact=True))
        kept = index.vectors(np.arange(rows))
        allowed = np.arange(rows) if some is None else np.flatnonzero(some)
        best = allowed[truth(kept[allowed], query, limit)]
        assert [row for row, _ in found][:limit] == best.tolist()


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 300),
    st.sampled_from([None, [(24,)], [(6, 400), (24,)], [(3, 400), (10, 400), (24,)]]),
    st.booleans(),
    st.sampled_from([0.0, 0.3, 1.0]),
)
@settings(deadline=None, max_examples=60)
def test_a_row_of_zeros_is_never_found_and_takes_no_place(seed, rows, stages, rotated, share):
    rng = np.random.default_rng(seed)
    vectors, there = unit(seed, rows), rng.random(rows) < share
    rotation = Rotation.fit(vectors) if rotated else None
    vectors[~there] = 0.0
    prefixes = Prefixes(Funnel(stages), rotation) if stages else None
    index, query = index_of(vectors, prefixes, pieces=4), unit(seed + 1, 1)[0]
    copies = [index, DenseIndex.of(index.arrays(), DIM, "float32", prefixes), index.kept(np.arange(rows))]
    mask = rng.random(rows) < 0.7
    for copy in copies:
        assert copy.having(np.arange(rows)).tolist() == np.flatnonzero(there).tolist()
        # Most rows score below zero for one of the two, and so below a row of zeros.
        for asked, some in product((query, -query), (None, mask)):
            allowed = np.flatnonzero(there if some is None else there & some)
            best = allowed[truth(vectors[allowed], asked, 10)].tolist()
            for exact in (False, True):
                assert [row for row, _ in ranked(copy.search(asked, 10, some, exact=exact), 10)] == best


@pytest.mark.parametrize("rotated", [False, True])
@pytest.mark.parametrize(
    "stages", [[(8, 200), (24,)], [(6, 400), (12, 100), (24,)], [(12,)], [(4, 600), (12,)]]
)
def test_finds_what_the_reference_finds(stages, rotated):
    vectors, queries = unit(1, 6000), unit(2, 40)
    rotation = Rotation.fit(vectors) if rotated else None
    prefixes = Prefixes(Funnel(stages), rotation)
    index = index_of(vectors, prefixes, pieces=7)
    turned = (vectors, queries) if rotation is None else (rotation(vectors), rotation(queries))
    shared = 0
    for query, turned_query in zip(queries, turned[1], strict=True):
        expected = dict(prefixes.funnel.rank(turned_query, turned[0], 10))
        found = dict(ranked(index.search(query, 10, None), 10))
        shared += len(expected.keys() & found.keys())
        assert all(found[row] == pytest.approx(expected[row], abs=1e-6) for row in expected.keys() & found)
    assert shared >= 0.99 * 10 * len(queries)


def test_numpy_finds_the_same_as_numba():
    vectors, queries = unit(3, 3000), unit(4, 20)
    prefixes = Prefixes(Funnel([(5, 60), (11, 25), (24,)]), Rotation.fit(vectors))
    mask = np.random.default_rng(5).random(2500) < 0.6
    results = []
    for loops in (kernels.loops(), None):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(kernels, "loops", lambda loops=loops: loops)
            index = index_of(vectors, prefixes, pieces=4)
            results.append([index.search(query, 10, some) for query in queries for some in (None, mask)])
    for (rows, scores), (others, same) in zip(*results, strict=True):
        assert rows.tolist() == others.tolist()
        assert np.allclose(scores, same, atol=1e-6)


def test_equal_vectors_tie_wherever_they_lie():
    vectors = unit(6, 5000)
    copies = [0, 17, 1023, 1024, 1500, 3333, 4999]
    vectors[copies] = vectors[17]
    index = index_of(vectors, Prefixes(Funnel([(6, 40), (24,)])), pieces=9)
    query = normalise(vectors[17:18] + 0.1 * unit(7, 1))[0]
    for exact in (False, True):
        rows, scores = index.search(query, 3, None, exact=exact)
        assert set(copies) <= set(rows.tolist()) and len(rows) < 20
        assert len({score for row, score in zip(rows, scores, strict=True) if row in copies}) == 1
    assert dict(ranked(index.search(query, 3, None))) == dict(
        ranked(index.search(query, 3, None, exact=True))
    )


@pytest.mark.parametrize("exact", [False, True])
def test_a_mask_hides_rows_and_those_beyond_its_end(exact, monkeypatch):
    vectors = unit(8, 2000)
    index = index_of(vectors, Prefixes(Funnel([(8, 100), (24,)])), pieces=3)
    query = vectors[1500]
    mask = np.ones(1200, np.bool_)
    mask[::3] = False
    allowed = np.flatnonzero(mask)
    expected = allowed[truth(vectors[allowed], query, 10)].tolist()
    for few in (0, 5000):
        monkeypatch.setattr(dense, "_FEW", few)
        assert [row for row, _ in ranked(index.search(query, 10, mask, exact=exact))] == expected
    one = np.zeros(2000, np.bool_)
    one[77] = True
    assert index.search(query, 10, one, exact=exact)[0].tolist() == [77]
    longer = np.ones(9999, np.bool_)
    assert ranked(index.search(query, 1, longer, exact=exact))[0][0] == 1500


def test_nothing_to_find():
    index = DenseIndex(DIM)
    query = unit(1, 1)[0]
    assert [len(part) for part in index.search(query, 10, None)] == [0, 0]
    index.set_prefixes(Prefixes(Funnel([(8, 10), (24,)])))
    assert [len(part) for part in index.search(query, 10, None)] == [0, 0]
    index.append(unit(2, 5))
    assert len(index.search(query, 10, None)[0]) == 5
    assert not len(index.search(query, 10, np.zeros(5, np.bool_))[0])
    assert not len(index.search(query, 10, np.zeros(0, np.bool_))[0])
    assert not len(index.search(query, 0, None)[0])


def test_vectors_without_a_prefix_are_searched_too():
    vectors = unit(9, 300)
    vectors[:100, :8] = 0.0
    vectors = normalise(vectors)
    index = index_of(vectors, Prefixes(Funnel([(4, 300), (8, 300), (24,)])))
    assert [row for row, _ in ranked(index.search(vectors[5], 10, None))] == truth(vectors, vectors[5], 10)


@pytest.mark.parametrize("precision", ["float32", "float16"])
@given(sizes=st.lists(st.integers(0, 3000), min_size=1, max_size=6), before=st.booleans())
@settings(deadline=None, max_examples=15)
def test_rows_in_pieces_are_the_same_as_at_once(precision, sizes, before):
    vectors = unit(10, sum(sizes))
    prefixes = Prefixes(Funnel([(6, 50), (24,)]))
    whole, pieces = index_of(vectors, prefixes, precision), DenseIndex(DIM, precision)
    if before:
        pieces.set_prefixes(prefixes)
    for piece in np.split(vectors, np.cumsum(sizes)[:-1]):
        pieces.append(piece)
    pieces.set_prefixes(prefixes) if not before else None
    assert len(pieces) == len(whole) == len(vectors)
    every = np.arange(len(vectors))
    assert np.array_equal(pieces.vectors(every), whole.vectors(every))
    for query in unit(11, 3):
        assert ranked(pieces.search(query, 10, None)) == ranked(whole.search(query, 10, None))


@pytest.mark.parametrize("precision", ["float32", "float16"])
@pytest.mark.parametrize(
    "prefixes", [None, Prefixes(Funnel([(6, 50), (10, 30), (24,)])), Prefixes(Funnel([(24,)]))]
)
def test_what_is_kept_and_what_comes_back_is_the_same(precision, prefixes):
    vectors, query = unit(12, 4000), unit(13, 1)[0]
    index = index_of(vectors, prefixes, precision, pieces=5)
    arrays = {name: part.copy() for name, part in index.arrays().items()}
    for part in arrays.values():
        part.flags.writeable = False
    back = DenseIndex.of(arrays, DIM, precision, prefixes)
    assert back.nbytes == pytest.approx(index.nbytes, rel=0.05)
    rows = np.random.default_rng(14).permutation(4000)[:1500]
    kept = index.kept(rows)
    assert np.array_equal(kept.vectors(np.arange(1500)), index.vectors(rows))
    more = unit(15, 700)
    for one in (index, back):
        one.append(more)
    kept.append(more)
    assert ranked(back.search(query, 20, None)) == ranked(index.search(query, 20, None))
    among = np.zeros(len(index), np.bool_)
    among[rows] = among[4000:] = True
    origin = np.concatenate([rows, np.arange(4000, 4700)])
    found = {int(origin[row]): score for row, score in ranked(kept.search(query, 20, None, exact=True))}
    assert found == dict(ranked(index.search(query, 20, among, exact=True)))


def test_prefixes_may_be_changed_and_dropped():
    vectors, query = unit(16, 3000), unit(17, 1)[0]
    index = index_of(vectors)
    exact = ranked(index.search(query, 5, None))
    for prefixes in (
        Prefixes(Funnel([(8, 300), (24,)])),
        Prefixes(Funnel([(4, 900), (12, 200), (24,)]), Rotation.fit(vectors, 12)),
        None,
    ):
        index.set_prefixes(prefixes)
        assert index.prefixes is prefixes
        assert ranked(index.search(query, 5, None)) == exact
    with pytest.raises(BadInput, match="24"):
        index.set_prefixes(Prefixes(Funnel([(8, 10), (25,)])))
    assert ranked(index.search(query, 5, None)) == exact


def test_memory_stays_near_that_of_the_vectors():
    vectors = unit(18, 3000, dim=128)
    index = index_of(vectors, Prefixes(Funnel([(32, 100), (64, 50), (128,)])), pieces=30)
    assert 1.0 < index.nbytes / vectors.nbytes <= 1.3
    room = sum(part.nbytes for part in index.arrays().values())
    assert room <= index.nbytes


def test_many_small_additions_leave_few_blocks():
    index = DenseIndex(DIM)
    for seed in range(300):
        index = DenseIndex.of(index.arrays(), DIM, "float32", None)
        index.append(unit(seed, 3))
    assert len(index) == 900
    assert len(index.arrays()) <= 8
    assert np.array_equal(index.vectors(np.array([899, 0])), [unit(299, 3)[2], unit(0, 3)[0]])


def test_searches_see_whole_appends_while_rows_come():
    vectors = unit(19, 12000)
    query = vectors[7]
    choices = [Prefixes(Funnel([(8, 60), (24,)])), None, Prefixes(Funnel([(6, 90), (12, 40), (24,)]))]
    index = index_of(vectors[:500], choices[0])
    wrong, stop = [], threading.Event()

    def search():
        while not stop.is_set():
            rows, scores = index.search(query, 10, None)
            fine = len(rows) >= 10 and 7 in rows and np.allclose(vectors[rows] @ query, scores, atol=1e-5)
            if not fine:
                wrong.append((rows, scores))

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    for turn, start in enumerate(range(500, 12000, 250)):
        index.append(vectors[start : start + 250])
        if turn % 5 == 0:
            index.set_prefixes(choices[turn // 5 % 3])
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong
    assert [row for row, _ in ranked(index.search(query, 10, None, exact=True))] == truth(vectors, query, 10)
