"""Crashes, damage and full disks: what is in memory never differs from what is in the file."""

import contextlib
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from resident_support import agree
from store_rows import arguments, name, retold, row, unit, without

from rag_plugins.errors import StoreError
from rag_plugins.resident.rows import Table
from rag_plugins.store.engine import Engine
from rag_plugins.store.local import journal as journals
from rag_plugins.store.local.journal import Journal
from rag_plugins.store.local.payload import Payload
from rag_plugins.store.local.resident import ResidentStore
from rag_plugins.vectors import SparseVector

HERE = Path(__file__).parent.parent
COUNT = 120
"""So many that the journal suffices for one or two changes."""

WRITE = """
import sys
from store_rows import *
from rag_plugins.store.local.resident import ResidentStore
store = ResidentStore.open(sys.argv[1], **arguments())
print('ready', flush=True)
for n in range(0, 100_000, 20):
    rows = [row(m, dense=unit(1.0, float(m)), terms={m % 4: 1.0}) for m in range(n, n + 20)]
    store.upsert(rows + [row(m, text="again", terms={3: 1.0}) for m in range(0, n, 50)])
    store.upsert([without(m, "dense") for m in range(n + 1, n + 20, 7)])
    store.retext([retold(m, f"read at {n}", 0.5) for m in range(0, n + 20, 6)])
    store.delete([name(n + 4)])
    if sys.argv[2] == "settle":
        store._memory._save(store._source)
    print(n, flush=True)
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "handbook.db"


def opened(path):
    return ResidentStore.open(path, **arguments())


def folder_of(path):
    return next((path.parent / f"{path.name}.resident").iterdir())


def some(numbers, **other):
    given = ((n, unit(1.0, n / 10), {n % 4: 1.0 + n}, {"n": n}) for n in numbers)
    return [row(n, dense=dense, terms=terms, metadata=found, **other) for n, dense, terms, found in given]


def filled(path):
    with opened(path) as store:
        store.keep("terms", lambda: ({}, "terms"))
        store.upsert(some(range(COUNT)))


def test_the_reader_of_these_tests_sees_a_difference(path):
    with opened(path) as store:
        store.upsert(some(range(5)))
        Engine.delete(store._engine, "passages", [name(3)])
        with pytest.raises(AssertionError):
            agree(store)


@pytest.mark.parametrize(("mode", "lines"), [("ingest", 4), ("settle", 3)])
def test_what_was_acknowledged_survives_a_killed_process(path, mode, lines):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent.parent)])}
    command = [sys.executable, "-c", WRITE, str(path), mode]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "ready\n"
        last = [int(child.stdout.readline()) for _ in range(lines)][-1]
        time.sleep(0.013 * lines)
        child.send_signal(signal.SIGKILL)
    with opened(path) as store:
        ids = set(agree(store))
        assert {name(n) for n in range(last + 20) if n % 20 != 4} <= ids
        assert not {name(n) for n in range(last) if n % 20 == 4 and n % 50} & ids
    with opened(path) as store:
        assert set(agree(store)) == ids


@pytest.mark.parametrize("victim", ["rows.snapshot", "payload.sqlite"])
@pytest.mark.parametrize("place", [0.0, 0.3, 0.6, 0.99])
def test_a_flipped_byte_is_noticed(path, victim, place):
    filled(path)
    damaged = folder_of(path) / victim
    data = bytearray(damaged.read_bytes())
    data[int(place * len(data))] ^= 0x55
    damaged.write_bytes(data)
    with opened(path) as store:
        assert len(agree(store)) == COUNT
    with opened(path) as store:
        assert len(agree(store)) == COUNT


def test_a_damaged_snapshot_is_made_again_and_the_log_says_so(path, caplog):
    filled(path)
    snapshot = folder_of(path) / "rows.snapshot"
    snapshot.write_bytes(snapshot.read_bytes()[:-100])
    with caplog.at_level(logging.WARNING, "rag_plugins"), opened(path) as store:
        agree(store)
    assert "rows.snapshot cannot be read" in caplog.text and "read anew" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING, "rag_plugins"), opened(path) as store:
        agree(store)
    assert caplog.text == ""


def test_a_damaged_section_is_none(path, caplog):
    filled(path)
    (section,) = (found for found in folder_of(path).glob("*.snapshot") if found.stem != "rows")
    data = bytearray(section.read_bytes())
    data[20] ^= 1
    section.write_bytes(data)
    with opened(path) as store:
        assert len(agree(store)) == COUNT
        assert store.kept("terms") is None
    assert "cannot be read" in caplog.text


def test_sections_of_another_snapshot_are_none(path, tmp_path):
    filled(path)
    (section,) = (found for found in folder_of(path).glob("*.snapshot") if found.stem != "rows")
    shutil.copy(section, tmp_path / "old")
    with opened(path) as store:
        store.keep("terms", lambda: ({}, "newer"))
        store.upsert(some(range(COUNT), text="new"))
    # As if killed between the files.
    shutil.copy(tmp_path / "old", section)
    with opened(path) as store:
        assert store.kept("terms") is None


@pytest.mark.parametrize("lost", ["*", "rows.snapshot", "payload.sqlite*", "journal", "[!rp]*.snapshot"])
def test_files_beside_the_database_may_be_deleted(path, lost):
    filled(path)
    with opened(path) as store:
        store.upsert(some([3], text="new"))
    for found in folder_of(path).glob(lost):
        found.unlink()
    for _ in range(2):
        with opened(path) as store:
            assert len(agree(store)) == COUNT
            assert store.fetch([name(3)])[name(3)].llm_text == "new"


def test_the_folder_may_go_while_it_is_in_use(path):
    filled(path)
    with opened(path) as store:
        shutil.rmtree(folder_of(path))
        store.upsert(some([3, 500], text="new"))
        store.delete([name(5)])
        agree(store)
    with opened(path) as store:
        assert len(agree(store)) == COUNT


@pytest.mark.parametrize("settled", [False, True])
def test_an_older_database_beside_a_newer_snapshot_is_noticed(path, tmp_path, settled):
    filled(path)
    shutil.copytree(path, tmp_path / "old.db")
    with opened(path) as store:
        store.upsert(some([3], text="new"))
        if settled:
            store._memory._save(store._source)
    shutil.rmtree(path)
    shutil.copytree(tmp_path / "old.db", path)
    with opened(path) as store:
        assert len(agree(store)) == COUNT
        assert store.fetch([name(3)])[name(3)].llm_text == "text"


def test_an_older_snapshot_beside_a_newer_database_is_noticed(path, tmp_path):
    filled(path)
    shutil.copytree(folder_of(path), tmp_path / "old")
    with opened(path) as store:
        store.upsert(some([3], text="new"))
        store.delete([name(5)])
        store._memory._save(store._source)
    folder = folder_of(path)
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "old", folder)
    with opened(path) as store:
        assert len(agree(store)) == COUNT - 1


def test_a_payload_of_another_time_is_not_believed(path, tmp_path):
    filled(path)
    shutil.copy(folder_of(path) / "payload.sqlite", tmp_path / "old")
    with opened(path) as store:
        store.upsert(some([3], text="new"))
        store._memory._save(store._source)
    shutil.copy(tmp_path / "old", folder_of(path) / "payload.sqlite")
    with opened(path) as store:
        agree(store)


def test_rows_that_lite_has_lost_are_noticed_by_their_number(path):
    filled(path)
    with opened(path) as store:
        # As if a segment of the file were gone.
        store._engine.delete("passages", [name(3)])
    with opened(path) as store:
        assert len(agree(store)) == COUNT - 1


@pytest.mark.parametrize("cut", [1, 20, 33, 44])
def test_a_record_that_a_crash_cut_short_is_left_out(path, cut, monkeypatch):
    filled(path)
    with opened(path) as store:
        store.upsert(some([3], text="new"))
        with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
            # As if killed once the record is written: Lite has seen nothing of it.
            patch.setattr(Engine, "upsert", lambda *_, **__: 1 / 0)
            store.upsert(some([4], text="never"))
    journal = folder_of(path) / "journal"
    os.truncate(journal, journal.stat().st_size - cut)
    with opened(path) as store:
        agree(store)
        assert [store.fetch([name(n)])[name(n)].llm_text for n in (3, 4)] == ["new", "text"]
        assert store.changed() == [name(3)]
        store.upsert(some([6], text="newest"))
    with opened(path) as store:
        assert store.changed() == [name(3), name(6)]
        agree(store)


def test_a_damaged_journal_is_not_believed(path, caplog):
    filled(path)
    with opened(path) as store:
        store.upsert(some([3], text="new"))
        store.upsert(some([4], text="new"))
    journal = folder_of(path) / "journal"
    whole = journal.read_bytes()
    _, generation = journals._parsed(whole)[0][0]
    for place in range(0, len(whole), 7):
        data = bytearray(whole)
        data[place] ^= 0x40
        journal.write_bytes(data)
        with pytest.raises(StoreError, match="cannot be read"):
            Journal(journal).resume(generation.decode())
    with opened(path) as store:
        assert len(agree(store)) == COUNT
    assert "journal cannot be read" in caplog.text


class Fault(Exception):
    pass


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("method", ["upsert", "flush", "delete"])
def test_a_write_that_fails_half_way_leaves_memory_as_lite_is(path, monkeypatch, method, moment):
    with opened(path) as store:
        store.upsert(some(range(10)))
        real = getattr(Engine, method)

        def failing(self, collection, *arguments, **options):
            if collection != "passages":
                return real(self, collection, *arguments, **options)
            if moment == "after":
                real(self, collection, *arguments, **options)
            raise Fault

        monkeypatch.setattr(Engine, method, failing)
        for write in (
            lambda: store.upsert(some([3, 20], text="new")),
            lambda: store.delete([name(4), name(5)]),
            lambda: store.rewrite("bm25", lambda rows: [SparseVector.of({9: 1.0})] * len(rows)),
            lambda: store.retext([retold(1, "told", 0.5), retold(2, "x" * 70_000, 0.25)]),
            lambda: store.upsert([without(6, "dense")]),
        ):
            with contextlib.suppress(Fault):
                write()
            agree(store)
        monkeypatch.undo()
        agree(store)
        store.upsert(some([3, 20], text="newer"))
        agree(store)
    with opened(path) as store:
        agree(store)


def test_while_lite_cannot_be_read_what_is_in_doubt_is_not_shown(path, monkeypatch):
    with opened(path) as store:
        store.upsert(some(range(10)))

        def failing(*_, **__):
            raise StoreError("broken")

        monkeypatch.setattr(Engine, "flush", failing)
        monkeypatch.setattr(Engine, "query", failing)
        with pytest.raises(StoreError, match="broken"):
            store.upsert(some([3], text="new"))
        assert store.count() == 10  # It had not come so far.
        monkeypatch.undo()
        monkeypatch.setattr(Engine, "flush", failing)
        with pytest.raises(StoreError, match="broken"):
            store.upsert(some([3], text="new"))
        monkeypatch.setattr(Engine, "query", failing)
        for call in (
            lambda: store.search("dense", unit(1.0), 5),
            lambda: store.fetch([name(1)]),
            store.count,
        ):
            with pytest.raises(StoreError, match="broken"):
                call()
        monkeypatch.undo()
        assert len(agree(store)) == 10
        assert store.fetch([name(3)])[name(3)].llm_text == "new"


@pytest.mark.parametrize("method", ["put", "remove"])
def test_memory_that_fails_half_way_is_loaded_again(path, monkeypatch, method):
    with opened(path) as store:
        store.upsert(some(range(10)))
        with monkeypatch.context() as patch:

            def failing(self, *_):
                self._state.ids.append("half")
                raise MemoryError

            patch.setattr(Table, method, failing)
            with pytest.raises(MemoryError):
                store.upsert(some([3], text="new")) if method == "put" else store.delete([name(3)])
        agree(store)
        store.upsert(some([7, 20], text="new"))
        agree(store)


def full(*_, **__):
    raise OSError(28, "No space left on device")


def test_a_full_disk_is_no_reason_not_to_search(path, monkeypatch, caplog):
    filled(path)
    with opened(path) as store:
        monkeypatch.setattr("rag_plugins.resident.archive._write", full)
        monkeypatch.setattr(journals, "_put", full)
        store.upsert(some(range(100, 140), text="new"))
        store.delete([name(2)])
        agree(store)
    assert "No space left on device" in caplog.text
    monkeypatch.undo()
    with opened(path) as store:
        assert len(agree(store)) == 139


def test_a_journal_that_fails_later_breaks_the_chain(path, monkeypatch):
    filled(path)
    with opened(path) as store:
        store.upsert(some([1], text="noted"))
        with monkeypatch.context() as patch:
            patch.setattr(journals, "_put", full)
            store.upsert(some([2], text="not noted"))
        store.upsert(some([3], text="not noted either"))
        agree(store)
    with opened(path) as store:
        agree(store)
        assert [store.fetch([name(n)])[name(n)].llm_text for n in (1, 2, 3)] == [
            "noted",
            "not noted",
            "not noted either",
        ]


def test_a_folder_that_cannot_be_made_is_no_reason_not_to_search(path, caplog):
    (path.parent / f"{path.name}.resident").write_bytes(b"in the way")
    for expected in (10, 12):
        with opened(path) as store:
            store.upsert(some(range(expected)))
            assert len(agree(store)) == expected
    assert "no snapshot of what is in memory could be written" in caplog.text


def test_a_payload_that_fails_is_done_without(path, monkeypatch, caplog):
    filled(path)
    with opened(path) as store:
        broken = folder_of(path) / "payload.sqlite"
        store._memory.payload.close()
        for file in folder_of(path).glob("payload.sqlite*"):
            file.unlink()
        broken.mkdir()
        store.upsert(some([3], text="new"))
        agree(store)
        broken.rmdir()
    assert "payload.sqlite" in caplog.text
    with opened(path) as store:
        agree(store)
        assert len(store._memory.payload.rows(store.ids())) == COUNT
    assert Payload(folder_of(path) / "payload.sqlite").mark


FORK = """
import os, sys
from store_rows import *
from rag_plugins.store.local.resident import ResidentStore
store = ResidentStore.open(sys.argv[1], **arguments())
store.upsert([row(1)])
def attempt(call):
    try:
        call()
    except Exception as error:
        print(type(error).__name__, error, flush=True)
child = os.fork()
if not child:
    attempt(lambda: store.search("dense", unit(1.0), 5))
    attempt(lambda: store.fetch([name(1)]))
    attempt(lambda: store.upsert([row(2)]))
    attempt(lambda: ResidentStore.open(sys.argv[1], **arguments()))
    store.close()
    os._exit(0)
os.waitpid(child, 0)
store.upsert([row(2)])
print(store.count(), len(store.fetch(store.ids())), flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_is_refused_and_its_parent_goes_on(path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent.parent)])}
    command = [sys.executable, "-c", FORK, str(path)]
    child = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    lines = child.stdout.splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["StoreError"] * 4 + ["2"]
    assert all("forked" in line for line in lines[:4]) and lines[4] == "2 2"
