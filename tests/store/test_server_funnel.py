"""Funnels on a server: prefix fields, made with the tenant's rotation and made anew safely."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pymilvus import MilvusClient, MilvusException

from rag_plugins.config import StoreConfig
from rag_plugins.errors import BadInput, ConfigError, StoreError
from rag_plugins.filters import where
from rag_plugins.funnel import Funnel, Prefixes, Rotation
from rag_plugins.store import nearest, prefix_fields
from rag_plugins.store.milvus import MilvusStore
from rag_plugins.store.prefix_records import Made, generation_of
from rag_plugins.store.schema import Row, VectorField
from rag_plugins.types import EmbedText, Passage, passage_id
from rag_plugins.vectors import SparseVector, normalise

DIM = 16
DENSE, BM25 = VectorField("dense", "dense", DIM), VectorField("bm25", "sparse")
PREFIXES = tuple(VectorField(f"dense_{width}", "dense", width, prefix_of="dense") for width in (4, 8))
FIELDS = (DENSE, *PREFIXES, BM25)
FUNNELS = [
    [(4, 12), (DIM,)],
    [(4, 14), (8, 8), (DIM,)],
    [(8, 12), (DIM,)],
    [(4, 12), (8,)],
    [(4,)],
    [(DIM,)],
]


def made(number, seed=0):
    return normalise(np.random.default_rng([seed, number]).standard_normal(DIM).astype(np.float32))


def name(number, tenant=""):
    return passage_id(tenant, content=str(number))


def row(number, *, tenant="", seed=0, vector=None, **metadata):
    passage = Passage(name(number, tenant), "a.pdf", (EmbedText("t"),), f"text {number}", metadata)
    vectors = {"dense": made(number, seed) if vector is None else vector, "bm25": SparseVector.of({1: 1.0})}
    return Row(passage, vectors)


def rows(count, **other):
    return [row(number, **{"n": number, **other}) for number in range(count)]


def rotation(seed=1, width=8):
    sample = np.random.default_rng(seed).standard_normal((64, DIM)).astype(np.float32)
    return Rotation.fit(sample * np.linspace(2.0, 0.1, DIM, dtype=np.float32), width)


def expected(prefixes, query, numbers, limit, tenant=""):
    """`Funnel.rank` with rows in the order of their ids, stage by stage with what `Prefixes` cuts."""
    ids = sorted(name(number, tenant) for number in numbers)
    at = {name(number, tenant): number for number in numbers}
    for stage in prefixes.funnel.stages:
        cut = prefixes.cut(np.stack([made(at[id]) for id in ids]), stage.width)
        scores = dict(zip(ids, (cut @ prefixes.cut(query, stage.width)).tolist(), strict=True))
        ids = sorted(ids, key=lambda id: (-scores[id], id))[: prefixes.funnel.kept(stage, limit)]
    return [(id, pytest.approx(scores[id], abs=1e-5)) for id in ids]


@pytest.fixture
def open_store(milvus_server, collection, tmp_path):
    """Stores on a server; `apart` ones have a connection of their own, as in another process."""
    opened = []

    def open_(*, apart=None, uri=milvus_server, **changes):
        config = StoreConfig(assets=tmp_path / "assets", token=apart)
        arguments = {"fields": FIELDS, "fingerprint": {"dense": "tiny"}, "collection": collection}
        opened.append(MilvusStore.open(uri, **{**arguments, "config": config, **changes}))
        return opened[-1]

    yield open_
    for store in opened:
        store.close()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(prefix_fields, "_REFRESH", 0.05)


def stored(store, field, ids=None):
    """What the engine has in a field, by id."""
    return store.rows.dense(field, store.ids() if ids is None else ids)


def assert_made(store, prefixes):
    """All the tenant's prefixes are of its vectors as they are."""
    full = stored(store, "dense")
    assert full
    for field in PREFIXES:
        found = stored(store, field.name)
        for id, vector in full.items():
            assert found[id] == pytest.approx(prefixes.cut(vector, field.dim), abs=1e-5)


@pytest.fixture
def counted(monkeypatch):
    """Names of the collections that rows were written to."""
    written = []
    upsert = MilvusClient.upsert

    def spy(self, collection, **other):
        written.append(collection)
        return upsert(self, collection, **other)

    monkeypatch.setattr(MilvusClient, "upsert", spy)
    return written


@pytest.mark.parametrize("stages", FUNNELS, ids=str)
@pytest.mark.parametrize("turned", [rotation(), None], ids=["rotated", "declared"])
def test_a_search_by_stages_is_the_reference(open_store, stages, turned):
    store = open_store()
    store.upsert(rows(30))
    prefixes = Prefixes(Funnel(stages), turned)
    store.set_prefixes("dense", prefixes)
    for seed in range(3):
        query = made(99, seed)
        assert store.search("dense", query, 4) == expected(prefixes, query, range(30), 4)
        even = store.search("dense", query, 3, where("n").is_in(list(range(0, 30, 2))))
        assert even == expected(prefixes, query, range(0, 30, 2), 3)
        exact = expected(Prefixes(Funnel([(DIM,)])), query, range(30), 4)
        assert store.search("dense", query, 4, exact=True) == exact


def test_scores_are_those_of_the_exact_search(open_store):
    store = open_store()
    store.upsert(rows(40))
    store.set_prefixes("dense", Prefixes(Funnel([(4, 10), (DIM,)]), rotation()))
    exact = dict(store.search("dense", made(99), 40, exact=True))
    hits = store.search("dense", made(99), 5)
    assert len(hits) == 5
    assert [score for _, score in hits] == pytest.approx([exact[id] for id, _ in hits], abs=1e-6)


def test_no_vectors_are_asked_for(open_store, monkeypatch):
    store = open_store()
    store.upsert(rows(20))
    store.set_prefixes("dense", Prefixes(Funnel([(4, 10), (8, 8), (DIM,)]), rotation()))
    asked = []
    query = MilvusClient.query
    monkeypatch.setattr(MilvusClient, "query", lambda *a, **k: asked.append(k) or query(*a, **k))
    assert len(store.search("dense", made(99), 3)) == 3
    assert [call for call in asked if "dense" in str(call.get("output_fields"))] == []


def test_ties_are_by_id(open_store):
    store = open_store()
    same = made(0)
    store.upsert([row(number, vector=same) for number in range(12)])
    store.set_prefixes("dense", Prefixes(Funnel([(4, 12), (DIM,)])))
    assert [id for id, _ in store.search("dense", same, 12)] == sorted(name(n) for n in range(12))


def test_an_engine_that_refuses_ids_gives_the_vectors_instead(open_store, monkeypatch, caplog):
    store = open_store()
    store.upsert(rows(30))
    prefixes = Prefixes(Funnel([(4, 14), (8, 8), (DIM,)]), rotation())
    store.set_prefixes("dense", prefixes)
    search = MilvusClient.search

    def refuse(self, collection, filter="", **other):
        if "id in" in filter:
            raise MilvusException(65535, "expression is too long")
        return search(self, collection, filter=filter, **other)

    monkeypatch.setattr(MilvusClient, "search", refuse)
    assert store.search("dense", made(99), 4) == expected(prefixes, made(99), range(30), 4)
    assert "expression is too long" in caplog.text


def test_rows_that_an_index_loses_among_few_are_scored_here(open_store, monkeypatch):
    store = open_store()
    store.upsert(rows(30))
    prefixes = Prefixes(Funnel([(4, 14), (DIM,)]), rotation())
    store.set_prefixes("dense", prefixes)
    search = MilvusClient.search

    def lose(self, collection, filter="", **other):
        hits = search(self, collection, filter=filter, **other)
        return [hits[0][:1]] if "id in" in filter else hits

    monkeypatch.setattr(MilvusClient, "search", lose)
    assert store.search("dense", made(99), 4) == expected(prefixes, made(99), range(30), 4)


def test_searches_for_very_many_hits_are_exact(open_store, monkeypatch):
    store = open_store()
    store.upsert(rows(30))
    store.set_prefixes("dense", Prefixes(Funnel([(4, 2), (DIM,)]), rotation()))
    monkeypatch.setattr(nearest, "_LONG", 30)
    assert store.search("dense", made(99), 16) == store.search("dense", made(99), 16, exact=True)


def test_prefixes_are_plain_before_there_is_a_rotation(open_store, counted, collection):
    store = open_store()
    store.upsert(rows(5))
    plain = Prefixes(Funnel([(4, 5), (DIM,)]))
    assert_made(store, plain)
    assert store.prefixes("dense") is None
    counted.clear()
    store.set_prefixes("dense", plain)
    assert collection not in counted
    assert store.prefixes("dense").funnel == plain.funnel


def test_another_rotation_rewrites_and_other_keeps_do_not(open_store, counted, collection, monkeypatch):
    monkeypatch.setattr(prefix_fields, "_BATCH", 4)
    store = open_store()
    store.upsert(rows(10))
    before = store.fetch(store.ids())
    prefixes = Prefixes(Funnel([(4, 5), (DIM,)]), rotation())
    store.set_prefixes("dense", prefixes)
    assert_made(store, prefixes)
    assert store.fetch(store.ids()) == before
    counted.clear()
    for stages in ([(8, 9), (DIM,)], [(4, 8), (8, 6), (DIM,)]):
        store.set_prefixes("dense", Prefixes(Funnel(stages), rotation()))
    store.set_prefixes("dense", None)
    assert store.prefixes("dense") is None
    store.set_prefixes("dense", prefixes)
    assert collection not in counted
    store.upsert(rows(12, more=1))
    assert_made(store, prefixes)
    other = Prefixes(prefixes.funnel, rotation(seed=5))
    store.set_prefixes("dense", other)
    assert_made(store, other)
    store.set_prefixes("dense", Prefixes(prefixes.funnel))
    assert_made(store, Prefixes(prefixes.funnel))
    rotations = store.state.get_many("rotation/")
    assert rotations == {}


def test_a_vector_whose_prefix_is_zero_can_be_stored_and_asked_for(open_store):
    store = open_store()
    last = np.eye(DIM, dtype=np.float32)[-1]
    store.upsert([row(1, vector=last), row(2)])
    store.set_prefixes("dense", Prefixes(Funnel([(4, 2), (DIM,)])))
    assert store.search("dense", last, 1) == [(name(1), pytest.approx(1.0))]


def test_widths_without_a_field_are_refused(open_store):
    store = open_store()
    assert store.prefix_fields.widths("dense") == (4, 8)
    with pytest.raises(ConfigError, match=r"of width 2, 6, only 4, 8\. .* ingest into a new one"):
        store.set_prefixes("dense", Prefixes(Funnel([(2, 9), (4, 9), (6, 9), (DIM,)])))
    with pytest.raises(ConfigError, match="takes 16 numbers to 3, expected 16 to at least 4"):
        store.set_prefixes("dense", Prefixes(Funnel([(4, 9), (DIM,)]), rotation(width=3)))
    with pytest.raises(BadInput, match="the vectors have 16 numbers"):
        store.set_prefixes("dense", Prefixes(Funnel([(4, 9), (32,)])))
    assert store.prefixes("dense") is None


def test_each_tenant_has_prefixes_of_its_own(open_store):
    a, b = open_store(tenant="a"), open_store(tenant="b")
    a.upsert(rows(20, tenant="a"))
    b.upsert(rows(20, tenant="b"))
    mine = Prefixes(Funnel([(4, 12), (DIM,)]), rotation())
    a.set_prefixes("dense", mine)
    assert b.prefixes("dense") is None
    assert_made(a, mine)
    assert_made(b, Prefixes(mine.funnel))
    hits = a.search("dense", made(99), 30)
    assert {id for id, _ in hits} <= {name(n, "a") for n in range(20)}
    assert a.search("dense", made(99), 4) == expected(mine, made(99), range(20), 4, "a")


def test_a_collection_made_without_prefix_fields_is_searched_exactly(open_store):
    open_store(fields=(DENSE, BM25)).upsert(rows(10))
    store = open_store()
    store.upsert(rows(12))
    assert store.prefix_fields.widths("dense") == ()
    assert store.search("dense", made(99), 3) == store.search("dense", made(99), 3, exact=True)
    with pytest.raises(ConfigError, match="only none"):
        store.set_prefixes("dense", Prefixes(Funnel([(4, 9), (DIM,)])))


def test_the_prefix_fields_that_count_are_those_the_collection_was_made_with(open_store):
    open_store().upsert(rows(3))
    other = (DENSE, VectorField("dense_2", "dense", 2, prefix_of="dense"), BM25)
    for fields in (other, (DENSE, BM25)):
        store = open_store(fields=fields)
        assert store.prefix_fields.widths("dense") == (4, 8)
        store.upsert(rows(5))
        assert_made(store, Prefixes(Funnel([(4,)])))


def test_a_server_s_collection_opened_as_a_file_keeps_its_prefix_fields(
    own_milvus_server, open_store, tmp_path
):
    prefixes = Prefixes(Funnel([(4, 12), (DIM,)]), rotation())
    store = open_store(uri=own_milvus_server.uri)
    store.upsert(rows(20))
    store.set_prefixes("dense", prefixes)
    store.close()
    own_milvus_server.stop()
    own_milvus_server.folder.joinpath("data").rename(tmp_path / "handbook.db")
    store = open_store(uri=tmp_path / "handbook.db", fields=(DENSE, BM25))
    store.upsert(rows(25))
    assert store.prefixes("dense").funnel == prefixes.funnel
    assert store.prefix_fields.widths("dense") is None
    assert_made(store, prefixes)
    assert store.search("dense", made(99), 4) == expected(Prefixes(Funnel([(DIM,)])), made(99), range(25), 4)


KILLED = """
import sys, time
from test_server_funnel import *
prefix_fields._BATCH, prefix_fields._REFRESH = 8, 0.05
store = MilvusStore.open(
    sys.argv[1], fields=FIELDS, fingerprint={"dense": "tiny"}, collection=sys.argv[2],
    config=StoreConfig(assets=sys.argv[3]),
)
fill, batches = prefix_fields.PrefixFields._fill, []
def stop_after_two(self, *arguments):
    fill(self, *arguments)
    batches.append(1)
    if len(batches) == 2:
        print("ready", flush=True)
        time.sleep(600)
prefix_fields.PrefixFields._fill = stop_after_two
store.set_prefixes("dense", Prefixes(Funnel([(4, 10), (DIM,)]), rotation(seed=5)))
"""


@pytest.mark.parametrize(
    "before", [None, Prefixes(Funnel([(4, 10), (DIM,)]), rotation())], ids=["new", "refit"]
)
def test_a_process_killed_while_it_makes_prefixes_leaves_the_exact_search(
    open_store, milvus_server, collection, tmp_path, before
):
    store = open_store()
    store.upsert(rows(40))
    store.set_prefixes("dense", before)
    here = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(here), str(here.parent.parent)])}
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, milvus_server, collection, str(tmp_path)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout.readline() == "ready\n"
    finally:
        child.send_signal(signal.SIGKILL)
        child.communicate()
    again = open_store(apart="another process")
    exact = expected(Prefixes(Funnel([(DIM,)])), made(99), range(40), 5)
    assert again.prefixes("dense") is None
    assert again.prefix_fields.unfinished("dense")
    assert again.search("dense", made(99), 5) == exact
    # Some rows have the old prefixes, some the new: setting the same ones again has to make all of them.
    same = Prefixes(Funnel([(4, 10), (DIM,)]), rotation(seed=5))
    again.set_prefixes("dense", same)
    assert not again.prefix_fields.unfinished("dense")
    assert_made(again, same)
    assert again.search("dense", made(99), 5) == expected(same, made(99), range(40), 5)


def between(store, monkeypatch, act):
    """`act` once, just before the engine takes this store's next passages; whether it was done."""
    upsert, done = store._engine.upsert, []

    def interrupted(name, data, **other):
        if name == store.collection and not done:
            done.append(True)
            act()
        upsert(name, data, **other)

    monkeypatch.setattr(store._engine, "upsert", interrupted)
    return done


def test_a_batch_made_with_an_older_rotation_is_made_again(open_store, monkeypatch):
    writer, other = open_store(), open_store(apart="another process")
    writer.upsert(rows(6))
    new = Prefixes(Funnel([(4, 6), (DIM,)]), rotation(seed=5))
    done = between(writer, monkeypatch, lambda: other.set_prefixes("dense", new))
    writer.upsert(rows(10))
    assert done
    assert_made(writer, new)


def test_rows_that_change_or_go_while_prefixes_are_made_are_seen_to(open_store, monkeypatch):
    store, other = open_store(), open_store(apart="another process")
    store.upsert(rows(10))
    new = Prefixes(Funnel([(4, 6), (DIM,)]), rotation(seed=5))
    write = prefix_fields.PrefixFields._write
    acts = [lambda: other.upsert([row(3, seed=7)]), lambda: other.delete([name(4)])]

    def changed_before(self, field, way, vectors):
        if self is store.prefix_fields and acts:
            acts.pop()()
        write(self, field, way, vectors)
        if self is store.prefix_fields and acts:
            acts.pop()()

    monkeypatch.setattr(prefix_fields.PrefixFields, "_write", changed_before)
    store.set_prefixes("dense", new)
    assert store.count() == 9
    assert stored(store, "dense")[name(3)] == pytest.approx(made(3, 7))
    assert_made(store, new)


def test_of_two_rotations_at_once_neither_is_searched_by_until_all_rows_have_it(open_store, monkeypatch):
    monkeypatch.setattr(prefix_fields, "_BATCH", 3)
    one, two = open_store(), open_store(apart="another process")
    one.upsert(rows(10))
    first, second = (Prefixes(Funnel([(4, 6), (DIM,)]), rotation(seed=seed)) for seed in (5, 6))
    done = between(one, monkeypatch, lambda: two.set_prefixes("dense", second))
    one.set_prefixes("dense", first)
    fresh = open_store(apart="a third")
    assert done and fresh.prefixes("dense") is None and fresh.prefix_fields.unfinished("dense")
    assert fresh.search("dense", made(99), 3) == fresh.search("dense", made(99), 3, exact=True)
    fresh.set_prefixes("dense", second)
    assert_made(fresh, second)


def test_what_is_written_among_another_s_new_prefixes_is_made_like_them(open_store, monkeypatch):
    one, two = open_store(), open_store(apart="another process")
    one.upsert(rows(10))
    first, second = (Prefixes(Funnel([(4, 6), (DIM,)]), rotation(seed=seed)) for seed in (5, 6))
    way = Made(generation_of(second.rotation), second.rotation, whole=False)

    def begin():
        two.prefix_fields._records.write("dense", way)
        two.prefix_fields._fill("dense", two.ids(), way)

    done = between(one, monkeypatch, begin)
    one.set_prefixes("dense", first)
    assert done and one.prefix_fields.unfinished("dense")
    assert_made(one, second)


def test_readers_in_other_processes_take_over_within_seconds(open_store, monkeypatch):
    writer, reader = open_store(), open_store(apart="another process")
    writer.upsert(rows(20))
    monkeypatch.setattr(prefix_fields, "_REFRESH", 3600.0)
    assert reader.prefixes("dense") is None
    new = Prefixes(Funnel([(4, 12), (DIM,)]), rotation(seed=5))
    writer.set_prefixes("dense", new)
    assert reader.prefixes("dense") is None
    assert reader.search("dense", made(99), 4) == reader.search("dense", made(99), 4, exact=True)
    monkeypatch.setattr(prefix_fields, "_REFRESH", 0.0)
    assert reader.prefixes("dense").funnel == new.funnel
    assert reader.search("dense", made(99), 4) == expected(new, made(99), range(20), 4)


def test_nobody_searches_by_old_prefixes_while_new_ones_are_written(open_store, monkeypatch):
    store, reader = open_store(), open_store(apart="another process")
    store.upsert(rows(10))
    store.set_prefixes("dense", Prefixes(Funnel([(4, 6), (DIM,)]), rotation()))
    assert reader.prefixes("dense") is not None
    seen = []
    write = prefix_fields.PrefixFields._write
    monkeypatch.setattr(
        prefix_fields.PrefixFields, "_write", lambda *a: seen.append(reader.prefixes("dense")) or write(*a)
    )
    store.set_prefixes("dense", Prefixes(Funnel([(4, 6), (DIM,)]), rotation(seed=5)))
    assert seen == [None]


def test_a_damaged_record_says_what_to_do(open_store):
    store = open_store()
    store.upsert(rows(3))
    store.set_prefixes("dense", Prefixes(Funnel([(4, 3), (DIM,)]), rotation()))
    (key,) = store.state.get_many("funnel/")
    for damaged in ({}, [], {"generation": "x", "stages": [[4, 3], [16]], "whole": True}):
        store.state.put({key: damaged})
        with pytest.raises(StoreError, match="run `rag-plugins tune` again"):
            open_store(apart=f"reader {damaged}").prefixes("dense")


def refuse_more_than(limit, monkeypatch):
    """As a real server does."""
    create = MilvusClient.create_collection

    def limited(self, name, schema, **other):
        vectors = [field for field in schema.fields if "VECTOR" in field.dtype.name]
        if len(vectors) > limit:
            text = f"maximum vector field's number should be limited to {limit}"
            raise MilvusException(65535, text)
        return create(self, name, schema=schema, **other)

    monkeypatch.setattr(MilvusClient, "create_collection", limited)


@pytest.mark.parametrize(("limit", "widths"), [(10, (2, 4, 8)), (4, (2, 4)), (3, (2,)), (2, ())])
def test_a_server_that_allows_fewer_fields_gets_the_narrowest_prefixes(
    open_store, monkeypatch, limit, widths
):
    refuse_more_than(limit, monkeypatch)
    wide = [VectorField(f"dense_{width}", "dense", width, prefix_of="dense") for width in (8, 2, 4)]
    store = open_store(fields=(DENSE, *wide, BM25))
    assert store.prefix_fields.widths("dense") == widths
    store.upsert(rows(5))
    assert open_store(fields=(DENSE, *wide, BM25)).prefix_fields.widths("dense") == widths


def test_every_leg_keeps_its_first_stage_where_there_is_room(open_store, monkeypatch):
    refuse_more_than(4, monkeypatch)
    second = VectorField("other", "dense", DIM)
    its = [VectorField(f"other_{width}", "dense", width, prefix_of="other") for width in (2, 8)]
    store = open_store(fields=(DENSE, *PREFIXES, second, *its))
    assert (store.prefix_fields.widths("dense"), store.prefix_fields.widths("other")) == ((4,), (2,))


def test_more_legs_than_a_server_allows_are_an_error_that_names_its_setting(open_store, monkeypatch):
    refuse_more_than(2, monkeypatch)
    legs = [VectorField(f"leg{number}", "sparse") for number in range(3)]
    with pytest.raises(ConfigError, match=r"needs 4 .* allows 2: .*proxy\.maxVectorFieldNum"):
        open_store(fields=(DENSE, *legs))
