"""Files searched in memory: opened from a snapshot, true to the file whoever has written to it."""

import gc
import logging
import threading
import weakref

import numpy as np
import pytest
from resident_support import agree
from store_rows import DIM, FIELDS, arguments, name, passage, row, unit

from rag_plugins.config import StoreConfig
from rag_plugins.errors import ConfigError, StoreError, StoreLocked
from rag_plugins.filters import where
from rag_plugins.funnel import Funnel, Prefixes, Rotation
from rag_plugins.store.engine import Engine
from rag_plugins.store.local import memory
from rag_plugins.store.local.resident import ResidentStore
from rag_plugins.store.milvus import MilvusStore
from rag_plugins.store.schema import VectorField
from rag_plugins.vectors import SparseVector


@pytest.fixture
def path(tmp_path):
    return tmp_path / "handbook.db"


@pytest.fixture
def open_resident(path):
    opened = []

    def open_(**changes):
        opened.append(ResidentStore.open(path, **arguments(**changes)))
        return opened[-1]

    yield open_
    for store in opened:
        store.close()


def folder_of(path):
    return next((path.parent / f"{path.name}.resident").iterdir())


def some(numbers, **other):
    random = np.random.default_rng(1)
    vectors = random.standard_normal((max(numbers) + 1, DIM))
    return [
        row(n, dense=unit(*vectors[n]), terms={n % 4: 1.0 + n}, metadata={"n": n}, **other) for n in numbers
    ]


@pytest.fixture
def unread(monkeypatch):
    """It is an error to read all rows, where there are any."""
    read_all = memory.read_all

    def read_none(*arguments):
        table = read_all(*arguments)
        assert not len(table), "all rows are read"
        return table

    monkeypatch.setattr(memory, "read_all", read_none)


def test_only_files_are_for_it(milvus_server, collection):
    with pytest.raises(ConfigError, match=r"expected a file, a path that ends in \.db"):
        ResidentStore.open(milvus_server, **arguments(collection=collection))


def test_nothing_lies_beside_a_file_without_rows(path, open_resident):
    store = open_resident()
    assert store.search("dense", unit(1.0), 5) == []
    store.settle()
    store.close()
    assert {found.name for found in path.parent.iterdir()} == {"handbook.db", "handbook.db.manifest"}


def test_it_opens_from_the_snapshot(open_resident, unread):
    with open_resident() as store:
        store.upsert(some(range(30)))
    with open_resident() as store:
        assert agree(store) == sorted(name(n) for n in range(30))


def test_small_changes_are_noted_and_read_again(path, open_resident, unread):
    with open_resident() as store:
        store.upsert(some(range(200)))
    saved = (folder_of(path) / "rows.snapshot").read_bytes()
    with open_resident() as store:
        store.upsert(some([7, 300], text="new"))
        store.delete([name(3)])
    with open_resident() as store:
        assert len(agree(store)) == 200
        assert store.fetch([name(7)])[name(7)].llm_text == "new"
        store.upsert(some([8], text="newer"))
    assert (folder_of(path) / "rows.snapshot").read_bytes() == saved
    with open_resident() as store:
        agree(store)
        store.delete([name(n) for n in range(20)])
    assert (folder_of(path) / "rows.snapshot").read_bytes() != saved
    assert not (folder_of(path) / "journal").exists()
    with open_resident() as store:
        assert len(agree(store)) == 181


def test_a_run_of_writes_ends_with_a_snapshot_where_enough_has_changed(path, open_resident):
    store = open_resident()
    store.upsert(some(range(300)))
    store.settle()
    snapshot = folder_of(path) / "rows.snapshot"
    before = snapshot.stat().st_mtime_ns
    store.upsert(some(range(5)))
    store.settle()
    assert snapshot.stat().st_mtime_ns == before
    store.upsert(some(range(300), text="new"))
    store.settle()
    assert snapshot.stat().st_mtime_ns > before
    agree(store)


def test_what_others_have_written_meanwhile_is_read(path, open_resident, caplog):
    with open_resident() as store:
        store.upsert(some(range(20)))
    with MilvusStore.open(path, **arguments()) as plain:
        plain.upsert(some([3, 40], text="theirs"))
        plain.delete([name(5)])
    with caplog.at_level(logging.WARNING, "rag_plugins"), open_resident() as store:
        assert len(agree(store)) == 20
        assert store.fetch([name(3)])[name(3)].llm_text == "theirs"
    assert "others have written to the file" in caplog.text
    with open_resident() as store:
        agree(store)


def test_a_file_of_another_store_is_read_whole(path, open_resident):
    with MilvusStore.open(path, **arguments()) as plain:
        plain.upsert(some(range(20), text="x" * 70_000))
    with open_resident() as store:
        assert len(agree(store)) == 20


def test_other_stores_of_the_process_may_write_at_the_same_time(path, open_resident):
    store = open_resident()
    with MilvusStore.open(path, **arguments()) as plain:
        for turn in range(3):
            plain.upsert(some([turn], text=f"plain {turn}"))
            agree(store)
            store.upsert(some([turn + 10, turn], text=f"resident {turn}"))
            plain.delete([name(turn + 10)])
            assert agree(store) == sorted(name(n) for n in range(turn + 1))


def test_what_a_server_on_the_file_has_written_is_read(path, open_resident, own_milvus_server):
    with open_resident() as store:
        store.upsert(some(range(20)))
    own_milvus_server.stop()
    data = own_milvus_server.folder / "data"
    data.rename(data.with_name("unused"))
    data.symlink_to(path)
    own_milvus_server.start()
    with MilvusStore.open(own_milvus_server.uri, **arguments()) as served:
        served.upsert(some([3, 40], text="theirs"))
        served.delete([name(5)])
    own_milvus_server.stop()
    with open_resident() as store:
        assert len(agree(store)) == 20
        assert store.fetch([name(3)])[name(3)].llm_text == "theirs"


def test_tenants_and_collections_do_not_disturb_each_other(path, open_resident, unread):
    def each():
        return [
            open_resident(tenant=tenant, collection=collection)
            for tenant in ("a", "b")
            for collection in ("one", "One")
        ]

    for number, store in enumerate(each()):
        store.upsert([row(n, tenant=str(number), text=repr(number)) for n in range(10)])
        store.close()
    for number, store in enumerate(each()):
        store.upsert([row(77, tenant=str(number))])
        mine = sorted(name(n, str(number)) for n in (*range(10), 77))
        assert agree(store) == mine
        payload = store._memory.payload
        others = [name(n, str(other)) for n in range(10) for other in range(4) if other != number]
        assert payload.rows([*mine, *others]).keys() <= set(mine)
        assert not store._memory._table.known(others)
        store.close()
    assert len(list((path.parent / f"{path.name}.resident").iterdir())) == 4


def test_passages_are_shown_without_asking_lite(open_resident, monkeypatch):
    store = open_resident()
    store.upsert(some(range(10), text="x" * 70_000))
    ids = store.ids()
    before = store.fetch(ids)

    def fail(*_, **__):
        raise AssertionError("Lite is asked")

    monkeypatch.setattr(Engine, "query", fail)
    monkeypatch.setattr(Engine, "search", fail)
    assert store.fetch([name(99), *reversed(ids)]) == before
    assert list(store.fetch(list(reversed(ids)))) == list(reversed(ids))
    assert store.views(ids[:2]) == {id: before[id].views for id in ids[:2]}
    assert store.count() == 10 and store.fetch([]) == {}
    assert store.search("dense", unit(1.0), 3, where("n") > 6)
    assert store.matrix("dense", ids).shape == (10, DIM)


def test_what_the_payload_lacks_is_read_from_lite_and_put_in(open_resident):
    store = open_resident()
    store.upsert(some(range(6), text="x" * 70_000))
    store._memory.payload.delete([name(2), name(4)])
    agree(store)
    assert len(store._memory.payload.rows(store.ids())) == 6
    store._memory.payload.clear()
    assert len(store.views([name(1), name(5)])) == 2
    assert store._memory.payload.rows(store.ids()).keys() == {name(1), name(5)}


def test_fields_that_are_not_resident_are_searched_by_lite(open_resident):
    fields = (FIELDS[0], VectorField("bm25", "sparse", resident=False))
    store = open_resident(fields=fields)
    store.upsert(some(range(12)))
    assert [name for name in store._memory._table.arrays() if name.startswith("fields/bm25")] == []
    hits = store.search("bm25", SparseVector.of({3: 1.0}), 2, where("n") < 10)
    assert hits == [(name(7), 8.0), (name(3), 4.0)]
    assert store.search("dense", unit(1.0), 20, where("n") < 10)
    store.rewrite("bm25", lambda rows: [SparseVector.of({9: 1.0})] * len(rows))
    assert len(store.search("bm25", SparseVector.of({9: 1.0}), 20)) == 12


def test_a_funnel_prunes_by_the_prefix(open_resident):
    store = open_resident()
    best, others = row(0, dense=unit(0.0, 0.6, 0.8)), range(1, 3000)
    store.upsert([best, *(row(n, dense=unit(0.6, 0.0, 0.7)) for n in others)])
    query = unit(0.1, 0.6, 0.8)
    assert store.search("dense", query, 1)[0][0] == name(0)
    store.set_prefixes("dense", Prefixes(Funnel([(1, 10), (DIM,)])))
    assert store.search("dense", query, 1)[0][0] != name(0)
    assert store.search("dense", query, 1, exact=True)[0][0] == name(0)


def test_prefixes_are_shared_and_survive_reopening(open_resident, unread):
    store, other = open_resident(), open_resident()
    store.upsert(some(range(40)))
    rotation = Rotation.fit(store.matrix("dense", store.ids()), 2)
    prefixes = Prefixes(Funnel([(2, 40), (DIM,)]), rotation)
    store.set_prefixes("dense", prefixes)
    assert other._memory._table.prefixes("dense").funnel == prefixes.funnel
    store.close()
    other.close()
    with open_resident() as store:
        assert store.prefixes("dense").funnel == prefixes.funnel
        assert store._memory._table.prefixes("dense").funnel == prefixes.funnel
        before = store.search("dense", unit(1.0, 0.5), 10)
        # The snapshot has codes of the old prefixes, or of some where there are to be none.
        store.set_prefixes("dense", Prefixes(Funnel([(1, 40), (DIM,)])))
    with open_resident() as store:
        assert store._memory._table.prefixes("dense").funnel == Funnel([(1, 40), (DIM,)])
        agree(store)
        assert store.search("dense", unit(1.0, 0.5), 10) == before
        store.set_prefixes("dense", None)
    with open_resident() as store:
        assert store._memory._table.prefixes("dense") is None
        agree(store)


def test_half_precision_takes_half_the_memory(path, open_resident):
    with open_resident() as store:
        store.upsert(some(range(500)))
        whole, ids = store.matrix("dense", store.ids()), store.ids()
        full = sum(array.nbytes for key, array in store._memory._table.arrays().items() if "full" in key)
    with open_resident(config=StoreConfig(precision="float16")) as store:
        half = sum(array.nbytes for key, array in store._memory._table.arrays().items() if "full" in key)
        assert store.matrix("dense", ids) == pytest.approx(whole, abs=1e-3)
        hits = dict(store.search("dense", unit(1.0), 500))
    assert half == full / 2 == 500 * DIM * 2
    assert hits == pytest.approx(dict(zip(ids, whole[:, 0].tolist(), strict=True)), abs=1e-3)


def content(number):
    return {"numbers": np.array([number])}, {"number": number}


def test_sections_of_others_are_kept_with_the_snapshot(open_resident):
    with open_resident() as store:
        assert store.kept("terms/a") is None
        store.keep("terms/a", lambda: content(1))
        store.upsert(some(range(200)))
    with open_resident() as store:
        arrays, meta = store.kept("terms/a")
        assert (arrays["numbers"].tolist(), meta, store.changed()) == ([1], {"number": 1}, [])
        assert store.kept("terms/b") is None
        store.keep("terms/b", lambda: content(2))
        store.upsert(some([5]))
        store.delete([name(6)])
    with open_resident() as store:
        assert sorted(store.changed()) == sorted([name(5), name(6)])
        assert [store.kept(f"terms/{leg}")[1]["number"] for leg in "ab"] == [1, 2]
        store.keep("terms/b", lambda: content(3))
        store.upsert(some(range(200), text="new"))
    with open_resident() as store:
        # Nobody asked for the other one to be kept with the new rows.
        assert (store.kept("terms/a"), store.kept("terms/b")[1], store.changed()) == (None, {"number": 3}, [])


def test_sections_made_of_rows_that_others_have_replaced_since_are_not_kept(path, open_resident):
    with open_resident() as store:
        store.keep("terms", lambda: content(1))
        store.upsert(some(range(20)))
        with MilvusStore.open(path, **arguments()) as plain:
            plain.upsert(some([3], text="theirs"))
        agree(store)
        store.upsert(some(range(20)))
    with open_resident() as store:
        assert store.kept("terms") is None


def test_a_store_says_of_itself_what_it_is(path, open_resident):
    assert repr(open_resident()) == f"ResidentStore({str(path)!r}, collection='passages')"


def test_a_closed_store_says_so_whatever_is_asked(open_resident):
    store, other = open_resident(), open_resident()
    store.upsert(some(range(3)))
    store.close()
    store.close()
    for call in (
        lambda: store.search("dense", unit(1.0), 1),
        lambda: store.fetch([name(1)]),
        lambda: store.views([name(1)]),
        lambda: store.matrix("dense", [name(1)]),
        lambda: store.ids(),
        lambda: store.count(),
        lambda: store.upsert(some([4])),
        lambda: store.delete([name(1)]),
        lambda: store.set_prefixes("dense", None),
        lambda: store.kept("x"),
        lambda: store.changed(),
    ):
        with pytest.raises(StoreError, match="is closed"):
            call()
    assert len(agree(other)) == 3


def test_memory_goes_with_the_last_store_of_a_tenant(open_resident):
    store, same, other = open_resident(), open_resident(), open_resident(collection="other")
    store.upsert(some(range(3)))
    table = weakref.ref(store._table())
    assert same._table() is table() and other._table() is not table()
    store.close()
    gc.collect()
    assert table() is not None
    same.close()
    gc.collect()
    assert table() is None
    assert len(agree(open_resident())) == 3


def test_readers_find_what_was_acknowledged_while_others_write(open_resident):
    store = open_resident()
    store.upsert(some(range(50)))
    failures, done = [], threading.Event()

    def read(number):
        while not done.is_set():
            try:
                ids = [id for id, _ in store.search("dense", unit(1.0), 1000)]
                assert len(set(ids)) == len(ids)
                assert {name(n) for n in range(50)} <= set(ids)
                texts = {found.llm_text for found in store.fetch(ids[:20]).values()}
                assert texts <= {"text", "new"}
                assert len(store.views(ids[:5])) >= 4
            except BaseException as error:
                failures.append(error)
                return

    def write(number):
        try:
            for turn in range(6):
                extra = [100 * number + turn * 10 + n for n in range(5)]
                store.upsert(some([*range(10 * number, 10 * number + 10), *extra], text="new"))
                assert {name(n) for n in extra} <= set(store.ids())
                assert store.delete([name(n) for n in extra[:3]]) == 3
                store.settle()
        except BaseException as error:
            failures.append(error)

    readers = [threading.Thread(target=read, args=(n,)) for n in range(2)]
    writers = [threading.Thread(target=write, args=(n,)) for n in (1, 2)]
    for thread in readers + writers:
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    for thread in readers:
        thread.join()
    assert failures == []
    assert len(agree(store)) == 50 + 2 * 6 * 2


def test_searches_do_not_wait_for_a_writer(open_resident):
    store = open_resident()
    store.upsert(some(range(30)))
    with store._engine.lock:
        answers = []

        def read():
            answers.append(len(store.search("dense", unit(1.0), 50)))
            answers.append(len(store.search("dense", unit(1.0), 50, where("n") < 10)))
            answers.append(len(store.fetch(store.ids())))
            answers.append(len(store.views(store.ids()[:3])))

        reader = threading.Thread(target=read)
        reader.start()
        reader.join(10.0)
        assert answers == [30, 10, 30, 3]


def test_a_passage_with_bad_characters_is_shown_as_it_is_stored(open_resident):
    store = open_resident()
    store.upsert([row(1, text="a\0b\ud800c", doc_id="d\udc80.pdf", metadata={"k\0": ["\udfff"]})])
    agree(store)
    assert store.ids(where("doc_id") == "d\ufffd.pdf") == [name(1)]
    assert passage(1).views == store.views([name(1)])[name(1)]


def test_a_second_process_is_told_of_the_lock(path, open_resident):
    import subprocess
    import sys
    from pathlib import Path

    open_resident().upsert(some(range(3)))
    code = (
        "import sys\nsys.path.insert(0, sys.argv[2])\nfrom store_rows import arguments\n"
        "from rag_plugins.errors import StoreLocked\n"
        "from rag_plugins.store.local.resident import ResidentStore\n"
        "try:\n    ResidentStore.open(sys.argv[1], **arguments())\nexcept StoreLocked:\n    print('locked')"
    )
    command = [sys.executable, "-c", code, str(path), str(Path(__file__).parent.parent)]
    assert subprocess.run(command, capture_output=True, text=True, timeout=60).stdout == "locked\n"
    assert issubclass(StoreLocked, StoreError)
