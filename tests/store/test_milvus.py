"""What a store promises: a Lite file searched by Lite, a server, and a file searched in memory."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from pymilvus import MilvusClient
from store_rows import DIM, FIELDS, FINGERPRINT, arguments, name, row, unit

from rag_plugins.config import StoreConfig
from rag_plugins.errors import BadInput, BadPassage, CollectionMismatch, ConfigError, StoreError
from rag_plugins.filters import where
from rag_plugins.funnel import Funnel, Prefixes, Rotation
from rag_plugins.store.milvus import MilvusStore
from rag_plugins.store.schema import Row, VectorField
from rag_plugins.types import Box, EmbedImage, EmbedText, Passage, Provenance, Word
from rag_plugins.vectors import SparseVector

METADATA = {
    "whole": 1,
    "real": 1.0,
    "none": None,
    "naïve 键": {"deep": [1, 2.5, None, True, {"x": "y"}]},
    "largest": 2**64 - 1,
    "smallest": -(2**63),
    "tiny": 5e-324,
    'quo"te\\': "line\nbreak\u2028 \x01",
    "empty": [{}, [], ""],
}
WORDS = (
    Word(0, 3, 0, Box(0.1, 0.2, 0.3, 0.25), 0.9653),
    Word(4, 9, 0, Box(0.35, 0.2, 0.5, 0.25), None),
    Word(10, 11, 1, Box(0.0, 0.3, 1.0, 0.35), 0.0),
)
RICH = Passage(
    name("rich"),
    "scans/名前 1.pdf",
    (EmbedText("a view"), EmbedImage("f" * 64), EmbedText("另一个")),
    "One three x",
    METADATA,
    Provenance("scans/名前 1.pdf", 7, WORDS, "e" * 64),
    "caller/1",
)


def test_passages_come_back_as_they_were(store):
    rows = [row(1), row(2, metadata=METADATA, text="", caller_id="")]
    rows.append(type(rows[0])(RICH, rows[0].vectors, {"dense": b"tokens"}))
    store.upsert(rows)
    fetched = store.fetch([name("rich"), name("absent"), name(2), name(1), name(1)])
    assert list(fetched.items()) == [(id, fetched[id]) for id in (name("rich"), name(2), name(1))]
    assert fetched == {given.passage.id: given.passage for given in rows}
    assert [type(fetched[name("rich")].metadata[key]) for key in ("whole", "real")] == [int, float]


def test_views_are_those_of_the_passages(store):
    long = "x" * 70_000
    rows = [row(1), row(2, text=long)]
    store.upsert([*rows, type(rows[0])(RICH, rows[0].vectors)])
    ids = [name("rich"), name("absent"), name(2), name(1)]
    assert store.views(ids) == {id: passage.views for id, passage in store.fetch(ids).items()}


def test_an_upsert_replaces_the_whole_row(store):
    long = "x" * 70_000
    store.upsert([row(1, metadata={"old": 1, "both": 1}, caller_id="c", text=long, tokens=b"old")])
    after = row(1, doc_id="b.pdf", metadata={"both": 2}, terms={9: 1.0}, dense=unit(0.0, 1.0))
    store.upsert([after])
    assert store.fetch([name(1)]) == {name(1): after.passage}
    assert store.fetch_tokens("dense", [name(1)]) == {}
    assert store.ids(where("old").exists()) == []
    assert store.search("bm25", SparseVector.of({1: 1.0}), 5) == []
    assert store.search("dense", unit(0.0, 1.0), 5) == [(name(1), 1.0)]
    assert store.count() == 1
    assert store.state.get_many("text/") == {}


def test_of_one_id_given_twice_the_last_row_counts(store):
    store.upsert([row(1, text="first"), row(2), row(1, text="last")])
    assert store.count() == 2
    assert store.fetch([name(1)])[name(1)].llm_text == "last"


def test_dense_search_is_by_inner_product(store):
    store.upsert([row(n, dense=unit(1.0, float(n))) for n in range(5)])
    hits = store.search("dense", unit(1.0), 3)
    assert [id for id, _ in hits] == [name(0), name(1), name(2)]
    assert [score for _, score in hits] == pytest.approx([1.0, 2**-0.5, 5**-0.5], abs=1e-6)


def test_sparse_search_is_by_inner_product(store):
    store.upsert([row(1, terms={1: 2.0, 7: 1.0}), row(2, terms={7: 3.0}), row(3, terms={2**32 - 3: 0.5})])
    assert store.search("bm25", SparseVector.of({1: 1.0, 7: 2.0}), 5) == [(name(2), 6.0), (name(1), 4.0)]
    assert store.search("bm25", SparseVector.of({2**32 - 3: 2.0}), 5) == [(name(3), 1.0)]
    assert store.search("bm25", SparseVector.of({8: 1.0}), 5) == []


def test_ties_are_by_id(store):
    store.upsert([row(n) for n in range(20)])
    for field, query in (("dense", unit(1.0)), ("bm25", SparseVector.of({1: 1.0}))):
        assert [id for id, _ in store.search(field, query, 50)] == sorted(name(n) for n in range(20))


def test_a_row_without_terms_is_no_sparse_hit(store):
    store.upsert([row(1, terms={}), row(2)])
    assert store.search("bm25", SparseVector.of({1: 1.0, 2**32 - 2: 1.0}), 5) == [(name(2), 1.0)]
    assert store.search("bm25", SparseVector.of({}), 5) == []
    assert store.search("bm25", SparseVector.of({2**32 - 2: 1.0}), 5) == []
    assert store.search("dense", unit(1.0), 5)[0][1] == pytest.approx(1.0)


def test_filters_bound_searches_and_ids(store):
    store.upsert(
        [row(n, doc_id=f"{n % 2}.pdf", metadata={"n": n} if n else {}, dense=unit(1.0)) for n in range(6)]
    )
    for filter, numbers in (
        (where("doc_id") == "1.pdf", {1, 3, 5}),
        (where("n") >= 4, {4, 5}),
        (~(where("n") >= 4), {0, 1, 2, 3}),
        (where("n").is_in([2, 5]) & (where("doc_id") == "0.pdf"), {2}),
        (where("n").is_in([]), set()),
        (~where("n").exists(), {0}),
    ):
        ids = sorted(name(n) for n in numbers)
        assert store.ids(filter) == ids
        assert [id for id, _ in store.search("dense", unit(1.0), 10, filter)] == ids
        assert [id for id, _ in store.search("bm25", SparseVector.of({1: 1.0}), 10, filter)] == ids


def test_delete_counts_what_was_there(store):
    store.upsert([row(n, tokens=b"t", text="x" * 70_000) for n in range(3)])
    assert store.delete([name(0), name(1), name(9), name(0)]) == 2
    assert store.delete([name(0)]) == 0
    assert store.delete([]) == 0
    assert (store.ids(), store.count()) == ([name(2)], 1)
    assert [id for id, _ in store.search("dense", unit(1.0), 9)] == [name(2)]
    assert list(store.fetch_tokens("dense", [name(n) for n in range(3)])) == [name(2)]
    assert len(store.state.get_many("text/")) == 1


def test_texts_longer_than_a_field_are_kept_whole(store):
    text = "a漢𝄞" * 40_000
    words = tuple(Word(n, n + 1, n, Box(0.1, 0.1, 0.2, 0.2), 0.5) for n in range(10_000))
    given = row(1, text=text, provenance=Provenance("long.pdf", 1, words))
    store.upsert([given, row(2)])
    assert store.fetch([name(1), name(2)]) == {name(1): given.passage, name(2): row(2).passage}
    assert next(store.scan())[0].id == min(name(1), name(2))


def test_a_lost_text_is_an_error_and_never_an_empty_one(store, kind):
    store.upsert([row(1, text="x" * 70_000), row(2)])
    store.state.delete(list(store.state.get_many("text/")))
    assert store.fetch([name(2)]) == {name(2): row(2).passage}
    if kind == "resident":
        assert len(store.fetch([name(1)])[name(1)].llm_text) == 70_000
        store._memory.payload.clear()
    with pytest.raises(StoreError, match="has lost its llm_text"):
        store.fetch([name(1)])


def test_characters_that_no_engine_holds_are_cleaned(store):
    store.upsert([row(1, text="a\0b\ud800c", doc_id="d\udc80.pdf", metadata={"k\0": ["\udfff"]})])
    cleaned = store.fetch([name(1)])[name(1)]
    assert (cleaned.llm_text, cleaned.doc_id) == ("ab\ufffdc", "d\ufffd.pdf")
    assert cleaned.metadata == {"k": ["\ufffd"]}


def test_scan_gives_every_passage_once(store):
    store.upsert([row(n) for n in range(7)])
    batches = list(store.scan(batch=3))
    assert [len(batch) for batch in batches] == [3, 3, 1]
    assert [passage.id for batch in batches for passage in batch] == sorted(name(n) for n in range(7))


def test_ids_come_in_as_many_pages_as_it_takes(store, monkeypatch):
    monkeypatch.setattr("rag_plugins.store.engine._IDS_A_PAGE", 3)
    for first in (0, 4):
        store.upsert([row(n, doc_id=f"{n % 2}.pdf") for n in range(first, first + 4)])
    assert store.ids() == sorted(name(n) for n in range(8))
    assert store.ids(where("doc_id") == "1.pdf") == sorted(name(n) for n in range(1, 8, 2))
    assert store.ids((where("doc_id") == "0.pdf") | (where("doc_id") == "1.pdf")) == store.ids()


def test_tokens_are_bytes_of_any_length(store):
    tokens = {name(1): bytes(range(256)) * 300, name(2): b""}
    store.upsert([row(1, tokens=tokens[name(1)]), row(2, tokens=b""), row(3)])
    assert store.fetch_tokens("dense", [name(1), name(2), name(3), name(4)]) == tokens


def test_tokens_of_each_leg_are_apart(open_store):
    store = open_store(keep_tokens=["dense", "page_tokens"])
    large = bytes(range(256)) * 800
    given = row(1)
    store.upsert(
        [replace(given, tokens={"dense": b"d", "page_tokens": large, "unkept": b"u"}), row(2, tokens=b"2")]
    )
    ids = [name(1), name(2)]
    assert store.fetch_tokens("dense", ids) == {name(1): b"d", name(2): b"2"}
    assert store.fetch_tokens("page_tokens", ids) == {name(1): large}
    assert store.fetch_tokens("unkept", ids) == store.fetch_tokens("absent", ids) == {}
    store.upsert([replace(given, tokens={"dense": b"new"})])
    assert store.fetch_tokens("dense", [name(1)]) == {name(1): b"new"}
    assert store.fetch_tokens("page_tokens", ids) == {}
    store.upsert([replace(given, tokens={"page_tokens": large})])
    store.delete([name(1)])
    store.upsert([given])
    assert store.fetch_tokens("page_tokens", ids) == {}


BAD = {
    "not finite": {"dense": np.array([np.nan, 0, 0, 1], np.float32)},
    "no direction": {"dense": np.zeros(DIM, np.float32)},
    "not of unit length": {"dense": np.array([2, 0, 0, 0], np.float32)},
    "wrong dimension": {"dense": np.ones(1, np.float32)},
    "wrong kind": {"dense": SparseVector.of({1: 1.0})},
    "negative weight": {"terms": {1: -1.0}},
    "infinite weight": {"terms": {1: np.inf}},
    "reserved dimension": {"terms": {2**32 - 1: 1.0}},
    "NaN in metadata": {"metadata": {"x": float("nan")}},
    "too large an integer": {"metadata": {"x": 2**64}},
    "no JSON": {"metadata": {"x": object()}},
    "no string for a key": {"metadata": {1: 1}},
    "too much metadata": {"metadata": {"x": "漢" * 22_000}},
    "too long a doc_id": {"doc_id": "d" * 65_536},
    "box at infinity": {"provenance": Provenance("s", 1, (Word(0, 1, 0, Box(0, 0, np.inf, 1)),))},
}


@pytest.mark.parametrize("fault", BAD)
def test_bad_rows_are_refused_before_anything_is_written(store, fault):
    with pytest.raises(BadPassage, match=name(2) if "doc_id" not in fault else "doc_id"):
        store.upsert([row(1), row(2, **BAD[fault])])
    assert store.count() == 0


def test_refusals_name_the_size_and_the_field(store):
    with pytest.raises(BadPassage, match=r"66009 bytes of JSON, at most 65536"):
        store.upsert([row(1, metadata={"x": "漢" * 22_000})])
    with pytest.raises(BadPassage, match="vectors for bm52; the collection has dense, bm25"):
        store.upsert([Row(row(1).passage, {"dense": unit(1.0), "bm52": SparseVector.of({1: 1.0})})])
    with pytest.raises(BadPassage, match="expected 64 hex digits"):
        store.upsert([type(row(1))(Passage('x" or id != "', "d", (), ""), row(1).vectors)])


def test_bad_queries_are_refused(store):
    for field, vector, limit, message in (
        ("dense", unit(1.0), 0, "limit 0: expected 1 to 16384"),
        ("dense", unit(1.0), 16_385, "limit 16385"),
        ("dense", np.ones(2, np.float32), 5, r"shape \(2,\), expected \(4,\)"),
        ("bm25", unit(1.0), 5, "expected a sparse one"),
        ("other", unit(1.0), 5, "has dense, bm25"),
    ):
        with pytest.raises(BadInput, match=message):
            store.search(field, vector, limit)


HOSTILE = ["", "a", "A", " a", 'a"', "a\\", 'x" or tenant != "', "a\nb", "%", "_", "租户", "a\0", "\ud800"]
HOSTILE += ["e" * 300, "e" * 301, "sha256:" + "0" * 64, "é", "e\u0301", "a\u200b", "' or 1 == 1", "{x}"]


def test_tenants_see_their_own_rows_alone(open_store):
    stores = {tenant: open_store(tenant=tenant) for tenant in HOSTILE}
    for tenant, store in stores.items():
        store.upsert([row(n, tenant=tenant, tokens=b"t", text=repr(tenant)) for n in range(2)])
    everyone = [name(n, tenant) for tenant in HOSTILE for n in range(2)]
    for tenant, store in stores.items():
        mine = sorted(name(n, tenant) for n in range(2))
        assert store.ids() == mine
        assert store.count() == 2
        assert [id for id, _ in store.search("dense", unit(1.0), 100)] == mine
        assert [id for id, _ in store.search("bm25", SparseVector.of({1: 1.0}), 100)] == mine
        assert store.ids((where("doc_id") == "a.pdf") | (where("x") == 1)) == mine
        assert sorted(store.fetch(everyone)) == mine
        assert sorted(store.fetch_tokens("dense", everyone)) == mine
        assert [passage.llm_text for batch in store.scan() for passage in batch] == [repr(tenant)] * 2
    assert stores["a"].delete(everyone) == 2
    assert stores["a"].count() == 0
    assert all(store.count() == 2 for tenant, store in stores.items() if tenant != "a")


def test_no_tenant_writes_over_anothers_row(open_store):
    theirs, mine = open_store(tenant="a"), open_store(tenant="b")
    theirs.upsert([row(1, tenant="a", text="theirs")])
    with pytest.raises(BadPassage, match="belongs to another tenant"):
        mine.upsert([row(2, tenant="b"), row(1, tenant="a", text="mine")])
    assert theirs.fetch([name(1, "a")])[name(1, "a")].llm_text == "theirs"
    assert mine.count() == 0


def test_rewrite_gives_the_tenants_rows_a_new_vector_and_changes_nothing_else(open_store):
    one, two = open_store(tenant="a"), open_store(tenant="b")
    one.upsert([row(n, tenant="a", tokens=b"t", metadata={"n": n}) for n in range(3)])
    one.upsert([row(3, tenant="a", text="x" * 70_000)])
    two.upsert([row(9, tenant="b")])
    before = one.fetch(one.ids()) | two.fetch(two.ids())
    one.rewrite("bm25", lambda rows: [SparseVector.of({5: float(len(p.views[0].text))}) for p in rows])
    assert [score for _, score in one.search("bm25", SparseVector.of({5: 1.0}), 9)] == [6.0] * 4
    assert two.search("bm25", SparseVector.of({1: 1.0}), 9) == [(name(9, "b"), 1.0)]
    assert two.search("bm25", SparseVector.of({5: 1.0}), 9) == []
    assert one.search("bm25", SparseVector.of({1: 1.0}), 9) == []
    assert len(one.search("dense", unit(1.0), 9)) == 4
    assert one.fetch(one.ids()) | two.fetch(two.ids()) == before
    assert len(one.fetch_tokens("dense", one.ids())) == 3


def random_rows(count):
    random = np.random.default_rng(3)
    vectors = random.standard_normal((count, DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return [row(n, dense=vectors[n], metadata={"even": n % 2 == 0}) for n in range(count)], vectors


WITH_PREFIX = (*FIELDS, VectorField("dense_2", "dense", 2, prefix_of="dense"))


@pytest.mark.parametrize("rotated", [False, True])
def test_a_funnel_that_keeps_all_finds_what_the_exact_search_finds(open_store, rotated):
    store = open_store(fields=WITH_PREFIX)
    rows, vectors = random_rows(30)
    store.upsert(rows[:20])
    before = store.search("dense", vectors[7], 12)
    rotation = Rotation.fit(vectors, 2) if rotated else None
    store.set_prefixes("dense", Prefixes(Funnel([(2, 30), (DIM,)]), rotation))
    assert store.prefixes("dense").funnel == Funnel([(2, 30), (DIM,)])
    for limit, filter in ((12, None), (30, None), (5, where("even") == True)):  # noqa: E712
        through = store.search("dense", vectors[7], limit, filter)
        exact = store.search("dense", vectors[7], limit, filter, exact=True)
        assert [id for id, _ in through] == [id for id, _ in exact]
        assert [score for _, score in through] == pytest.approx([score for _, score in exact], abs=1e-6)
    assert store.search("dense", vectors[7], 12, exact=True) == before
    store.upsert(rows[20:])
    store.delete([name(7)])
    through, exact = (store.search("dense", vectors[25], 29, exact=exact) for exact in (False, True))
    assert through[0][0] == name(25) and len(through) == 29
    assert [id for id, _ in through] == [id for id, _ in exact]
    store.set_prefixes("dense", None)
    assert store.prefixes("dense") is None
    assert store.search("dense", vectors[25], 29) == exact


def test_prefixes_are_those_of_all_stores_of_the_tenant_alone(open_store):
    one, two = open_store(tenant="a", fields=WITH_PREFIX), open_store(tenant="b", fields=WITH_PREFIX)
    prefixes = Prefixes(Funnel([(2, 100), (DIM,)]))
    one.set_prefixes("dense", prefixes)
    assert open_store(tenant="a", fields=WITH_PREFIX).prefixes("dense").funnel == prefixes.funnel
    assert two.prefixes("dense") is None
    with pytest.raises(BadInput, match="the vectors have 4 numbers"):
        one.set_prefixes("dense", Prefixes(Funnel([(2, 100), (5,)])))
    assert one.prefixes("dense").funnel == prefixes.funnel


def test_the_stored_vectors_come_in_the_order_asked_for(store):
    rows, vectors = random_rows(6)
    store.upsert(rows)
    found = store.matrix("dense", [name(4), name(99), name(0), name(4)])
    np.testing.assert_array_equal(found, vectors[[4, 0, 4]])
    assert store.matrix("dense", []).shape == (0, DIM)
    assert store.vectors("bm25", [name(4), name(99)]) == {name(4): SparseVector.of({1: 1.0})}


def test_settling_changes_nothing_that_is_found(store):
    store.upsert([row(n) for n in range(3)])
    store.settle()
    store.delete([name(1)])
    store.settle()
    assert store.ids() == sorted([name(0), name(2)])


def test_writes_are_seen_by_other_stores_at_once(open_store):
    writer, reader = open_store(), open_store()
    writer.upsert([row(1)])
    assert reader.search("dense", unit(1.0), 1) == [(name(1), 1.0)]
    writer.delete([name(1)])
    assert (reader.search("dense", unit(1.0), 1), reader.count()) == ([], 0)


def test_reopening_finds_everything(open_store):
    store = open_store()
    store.upsert([row(1, tokens=b"t", metadata=METADATA), row(2)])
    store.state.put({"k": [1, None]})
    store.close()
    store = open_store()
    assert store.search("bm25", SparseVector.of({1: 2.0}), 5) == sorted([(name(1), 2.0), (name(2), 2.0)])
    assert store.fetch([name(1)])[name(1)].metadata == METADATA
    assert store.fetch_tokens("dense", [name(1)]) == {name(1): b"t"}
    assert store.state.get("k") == [1, None]


def test_a_closed_store_says_so(open_store):
    store, other = open_store(), open_store()
    store.close()
    store.close()
    with pytest.raises(StoreError, match="is closed"):
        store.count()
    assert other.count() == 0


def test_another_model_is_refused_key_by_key(open_store):
    open_store().close()
    changed = {"dense": {"model": "other", "dim": 8}, "bm25": {"cjk": "bigrams"}}
    fields = (VectorField("dense", "dense", 8), VectorField("extra", "sparse"))
    with pytest.raises(CollectionMismatch) as caught:
        open_store(fields=fields, fingerprint=changed)
    message = str(caught.value)
    for line in (
        'fingerprint.dense.model: found "tiny", expected "other"',
        "fields.dense.dim: found 4, expected 8",
        'fields.bm25.kind: found "sparse", expected nothing',
        'fields.extra.kind: found nothing, expected "sparse"',
    ):
        assert line in message
    assert "cjk" not in message
    assert "ingest into a collection of another name" in message


def test_keeping_tokens_may_begin_later_and_goes_on(open_store):
    open_store(keep_tokens=()).upsert([row(1, tokens=b"ignored")])
    later = open_store(keep_tokens=["dense"])
    assert later.fetch_tokens("dense", [name(1)]) == {}
    later.upsert([row(1, tokens=b"kept")])
    goes_on = open_store(keep_tokens=["page_tokens"])
    goes_on.upsert([row(2, tokens=b"too")])
    assert later.fetch_tokens("dense", [name(1), name(2)]) == {name(1): b"kept", name(2): b"too"}


def test_a_creation_that_was_cut_short_is_begun_again(open_store):
    cut_short = open_store()
    cut_short.state.delete(["header"])
    cut_short.records.delete(["header"])
    other = (*FIELDS, VectorField("more", "sparse"))
    store = open_store(fields=other)
    store.upsert([type(row(1))(row(1).passage, {**row(1).vectors, "more": SparseVector.of({3: 1.0})})])
    assert store.search("more", SparseVector.of({3: 1.0}), 5) == [(name(1), 1.0)]


def test_rows_without_a_record_are_left_alone(open_store):
    store = open_store()
    store.upsert([row(1)])
    store.state.delete(["header"])
    store.records.delete(["header"])
    with pytest.raises(CollectionMismatch, match="holds 1 rows and no record"):
        open_store()
    assert store.count() == 1


def test_a_record_without_its_collection_is_an_error(open_store, collection):
    store = open_store()
    store._engine.drop(collection)
    with pytest.raises(StoreError, match="is gone, its record"):
        open_store()


def test_a_released_collection_is_loaded_again(store, collection):
    store.upsert([row(1)])
    params = MilvusClient.prepare_index_params()
    params.add_index("bm25", index_type="SPARSE_INVERTED_INDEX", metric_type="IP")
    store._engine._client.create_index(collection, params, sync=False)
    store._engine._client.release_collection(collection)
    assert store.search("dense", unit(1.0), 5) == [(name(1), 1.0)]
    store._engine._client.release_collection(collection)
    assert store.ids() == [name(1)]


def test_a_real_server_gets_indexes_and_no_flush(own_milvus_server, collection, tmp_path, monkeypatch):
    monkeypatch.setattr(MilvusClient, "get_server_version", lambda self, timeout: "v2.6.7")
    monkeypatch.setattr(MilvusClient, "flush", None)
    config = StoreConfig(assets=tmp_path)
    with MilvusStore.open(own_milvus_server.uri, **arguments(collection=collection, config=config)) as store:
        store.upsert([row(n, tokens=b"t", terms={n: 1.0, 9: 2.0}) for n in range(1, 4)])
        store.delete([name(3)])
        assert [id for id, _ in store.search("dense", unit(1.0), 5)] == sorted([name(1), name(2)])
        assert store.search("bm25", SparseVector.of({2: 3.0}), 5) == [(name(2), 3.0)]
        indexes = store._engine._client.list_indexes(collection)
        assert sorted(indexes) == ["bm25", "dense", "doc_id", "tenant"]


def test_names_are_checked(open_store):
    for collection in ("", "1a", "a-b", 'a"', "a b", "é", "a" * 201):
        with pytest.raises(ConfigError, match="expected a letter or _"):
            open_store(collection=collection)
    with pytest.raises(ConfigError, match="the name is taken"):
        open_store(fields=(VectorField("metadata", "sparse"),), fingerprint=FINGERPRINT)
    with pytest.raises(ConfigError, match="dense ones have one"):
        VectorField("dense", "dense")


def test_threads_may_share_a_store(store):
    failures = []

    def work(thread):
        try:
            for step in range(4):
                numbers = [1000 * thread + 10 * step + n for n in range(5)]
                store.upsert([row(number, metadata={"thread": thread}) for number in numbers])
                assert store.fetch([name(number) for number in numbers]).keys() == set(map(name, numbers))
                assert store.delete([name(numbers[0])]) == 1
                assert len(store.search("dense", unit(1.0), 200)) >= 4
                store.state.put({f"thread {thread}": step, "shared": "x" * 100_000})
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert store.count() == len(set(store.ids())) == 4 * 4 * 4
    assert store.state.get_many("thread ") == {f"thread {n}": 3 for n in range(4)}


def test_a_vector_field_of_each_kind_alone_will_do(open_store, collection):
    for field in FIELDS:
        store = open_store(fields=(field,), collection=f"{collection}_{field.kind}")
        store.upsert([Row(row(1).passage, {field.name: row(1).vectors[field.name]})])
        query = unit(1.0) if field.kind == "dense" else SparseVector.of({1: 1.0})
        assert store.search(field.name, query, 5) == [(name(1), 1.0)]
