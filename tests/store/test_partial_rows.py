"""Rows that lack a vector, a confidence or part of an image, on a file, a server and a file in memory."""

from time import perf_counter

import numpy as np
import pytest
from store_rows import DIM, FIELDS, name, passage, retold, row, unit, without

from rag_plugins.errors import BadPassage
from rag_plugins.filters import where
from rag_plugins.funnel import Funnel, Prefixes, Rotation
from rag_plugins.store.schema import Row, VectorField
from rag_plugins.types import Box, EmbedImage, EmbedText, Passage, Provenance, Word
from rag_plugins.vectors import SparseVector, normalise

TERMS = SparseVector.of({1: 1.0})
WITH_PREFIX = (*FIELDS, VectorField("dense_2", "dense", 2, prefix_of="dense"))


def found(store, field, query, limit=20, filter=None, *, exact=False):
    return [id for id, _ in store.search(field, query, limit, filter, exact=exact)]


def test_a_row_without_a_vector_is_not_found_by_it(store):
    store.upsert([row(1), without(2, "dense"), without(3, "bm25"), without(4, "dense", "bm25")])
    for query in (unit(1.0), -unit(1.0), unit(0.0, 1.0)):
        assert found(store, "dense", query) == sorted([name(1), name(3)])
        assert found(store, "dense", query, 1) == [min(name(1), name(3))]
    assert found(store, "bm25", TERMS) == sorted([name(1), name(2)])
    assert store.count() == 4 and store.count("dense") == 2
    assert store.ids(field="dense") == sorted([name(1), name(3)])
    assert store.ids(where("doc_id") == "b.pdf", "dense") == []
    np.testing.assert_array_equal(store.matrix("dense", [name(4), name(3), name(2)]), [unit(1.0)])
    assert store.vectors("bm25", [name(3)]) == {name(3): SparseVector.of({})}
    assert len(store.fetch(store.ids())) == 4


def test_it_takes_no_place_from_rows_that_score_below_zero(store):
    store.upsert([without(n, "dense") for n in range(10)])
    store.upsert([row(n, dense=unit(-1.0, n / 10), metadata={"n": n}) for n in range(10, 16)])
    nearest = [name(n) for n in range(15, 9, -1)]
    for limit in (1, 3, 6, 12):
        assert found(store, "dense", unit(1.0), limit) == nearest[:limit]
    assert found(store, "dense", unit(1.0), 3, where("n") < 13) == nearest[3:]


def test_a_vector_comes_and_goes_with_the_row(store):
    store.upsert([row(1), without(2, "dense")])
    store.upsert([without(1, "dense"), row(2)])
    assert found(store, "dense", unit(1.0)) == [name(2)]
    assert store.count("dense") == 1 and store.ids(field="dense") == [name(2)]
    store.delete([name(2)])
    assert found(store, "dense", unit(1.0)) == [] and store.count("dense") == 0
    assert found(store, "bm25", TERMS) == [name(1)]


@pytest.mark.parametrize("rotated", [False, True])
def test_a_funnel_never_finds_it_either(open_store, rotated):
    store = open_store(fields=WITH_PREFIX)
    vectors = normalise(np.random.default_rng(3).standard_normal((24, DIM)).astype(np.float32))
    rows = [
        without(n, "dense", metadata={"even": n % 2 == 0}) if n % 3 == 0 else row(n, dense=vectors[n])
        for n in range(24)
    ]
    store.upsert(rows[:12])
    rotation = Rotation.fit(store.matrix("dense", store.ids()), 2) if rotated else None
    store.set_prefixes("dense", Prefixes(Funnel([(2, 30), (DIM,)]), rotation))
    store.upsert(rows[12:])
    there = sorted(name(n) for n in range(24) if n % 3)

    def check(store):
        for query in (vectors[1], -vectors[1]):
            assert sorted(found(store, "dense", query)) == there
            assert found(store, "dense", query, 16) == found(store, "dense", query, 16, exact=True)
            assert (
                found(store, "dense", query, 3, exact=True)
                == found(store, "dense", query, 16, exact=True)[:3]
            )
        assert found(store, "dense", vectors[1], 5, where("even").exists()) == []

    check(store)
    store.settle()
    store.upsert([without(24, "dense")])
    store.close()
    check(again := open_store(fields=WITH_PREFIX))
    again.set_prefixes("dense", Prefixes(Funnel([(2, 30), (DIM,)])))
    check(again)


def test_rows_without_a_vector_are_the_tenants_own(open_store):
    one, two = open_store(tenant="a"), open_store(tenant="b")
    one.upsert([without(n, "dense", tenant="a") for n in range(3)])
    two.upsert([row(n, tenant="b", dense=unit(-1.0)) for n in range(2)])
    assert found(one, "dense", unit(1.0)) == [] and one.count("dense") == 0
    assert found(two, "dense", unit(1.0), 2) == two.ids(field="dense") == two.ids()


def test_a_zero_vector_that_is_given_is_still_refused(store):
    with pytest.raises(BadPassage, match="length 0, expected 1"):
        store.upsert([row(1, dense=np.zeros(DIM, np.float32))])


def read(number, *confidences, **other):
    """A passage whose words were recognised so surely."""
    words = tuple(Word(n, n + 1, 0, Box(0.1, 0.1, 0.2, 0.2), sure) for n, sure in enumerate(confidences))
    return row(number, text="x" * len(words), provenance=Provenance("scan.png", 1, words), **other)


def test_confidences_are_those_of_the_passages_that_have_one(open_store):
    store, other = open_store(), open_store(tenant="b")
    store.upsert([read(1, 0.5, 1.0), read(2, None), row(3), read(4, 0.0), read(5, 1.0, None)])
    other.upsert([read(1, 0.5, tenant="b")])
    asked = [*map(name, range(9)), name(1, "b")]
    expected = {name(1): 0.75, name(4): 0.0, name(5): 1.0}
    assert store.confidences(asked) == pytest.approx(expected)
    assert store.confidences([]) == {}
    store.upsert([row(1), read(3, 0.25)])
    store.delete([name(4)])
    expected = {name(3): 0.25, name(5): 1.0}
    assert store.confidences(asked) == pytest.approx(expected)
    store.close()
    assert open_store().confidences(asked) == pytest.approx(expected)


def test_confidences_of_a_search_are_read_at_once(open_store, kind):
    store = open_store()
    store.upsert([read(n, 0.5) for n in range(300)])
    ids = [name(n) for n in range(200)]
    assert len(store.confidences(ids)) == 200
    seconds = []
    for _ in range(20):
        start = perf_counter()
        store.confidences(ids)
        seconds.append(perf_counter() - start)
    assert min(seconds) < (0.001 if kind == "resident" else 0.1)


def test_parts_of_images_and_places_of_passages_come_back(store):
    views = (
        EmbedImage("a" * 64),
        EmbedText("between"),
        EmbedImage("b" * 64, Box(0.0, 0.1234, 0.5, 1.0)),
    )
    places = Provenance("a.pdf", 2, (), "c" * 64, 1234)
    given = Passage(name("image"), "a.pdf", views, "text", {}, places)
    store.upsert([Row(given, {}), Row(passage(1, provenance=Provenance("a.pdf")), row(1).vectors)])
    fetched = store.fetch([name("image"), name(1)])
    assert fetched[name("image")] == given
    assert fetched[name(1)].provenance.start is None
    assert store.views([name("image")]) == {name("image"): views}


def test_retexting_changes_what_the_llm_reads_and_nothing_that_is_searched(open_store):
    store, other = open_store(), open_store(tenant="b")
    long, longer = "x" * 70_000, "y" * 80_000
    given = read(1, 0.25, metadata={"old": 1}, tokens=b"kept", dense=unit(0.6, 0.8), terms={5: 2.0})
    store.upsert([given, row(2, text=long), read(3, 0.5, tenant="")])
    other.upsert([row(1, tenant="b", text="theirs")])
    changes = [
        retold(1, "read anew", 0.9, metadata={"new": 2}, doc_id="elsewhere.pdf", caller_id="nobody"),
        retold(2, longer, None),
        retold(9, "not stored", 0.9),
        Passage(name(1, "b"), "a.pdf", (), "stolen"),
    ]
    assert len(store.retext(changes)) == 2
    fetched = store.fetch([name(n) for n in (1, 2, 3, 9)])
    assert list(fetched) == [name(1), name(2), name(3)]
    one = fetched[name(1)]
    assert (one.llm_text, one.metadata, one.provenance) == ("read anew", {"new": 2}, changes[0].provenance)
    assert (one.views, one.doc_id, one.caller_id) == (given.passage.views, "a.pdf", None)
    assert fetched[name(2)].llm_text == longer and fetched[name(3)].llm_text == "x"
    assert len(store.state.get_many("text/")) == 1
    assert store.confidences([name(n) for n in (1, 2, 3)]) == pytest.approx({name(1): 0.9, name(3): 0.5})
    assert (store.ids(where("old").exists()), store.ids(where("new") == 2)) == ([], [name(1)])
    assert store.fetch_tokens("dense", [name(1)]) == {name(1): b"kept"}
    assert store.search("dense", unit(0.6, 0.8), 1) == [(name(1), pytest.approx(1.0))]
    assert store.search("bm25", SparseVector.of({5: 1.0}), 9) == [(name(1), 2.0)]
    assert other.fetch([name(1, "b")])[name(1, "b")].llm_text == "theirs"
    assert store.views([name(1)]) == {name(1): given.passage.views}
    store.close()
    again = open_store()
    assert again.fetch([name(1)]) == {name(1): one}
    assert again.search("dense", unit(0.6, 0.8), 1) == [(name(1), pytest.approx(1.0))]


def test_retexting_refuses_what_cannot_be_stored_before_it_writes(store):
    store.upsert([row(1), row(2)])
    with pytest.raises(BadPassage, match=name(2)):
        store.retext([retold(1, "new", 0.5), retold(2, "new", 0.5, metadata={"x": float("nan")})])
    assert store.fetch([name(1)])[name(1)].llm_text == "text"
    assert store.retext([]) == {}
