"""Threads, processes, forks, event loops, Ctrl-C and kills: consistent, or refused with advice."""

import asyncio
import copy
import multiprocessing
import os
import pickle
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Event

import pytest
from faults_workers import added_and_found, attempted, lamps, opened
from pymilvus import MilvusClient

from rag_plugins import Config, RagIndex, langchain, llama_index
from rag_plugins.config import Bm25Leg
from rag_plugins.errors import BadInput, CollectionMismatch
from rag_plugins.store import header
from rag_plugins.store.engine import Engine

PROGRAM = Path(sys.executable).with_name("rag-plugins")
HEARD = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # Jobs of a script ignore it otherwise.
STEADY = 20


def steady(uri, collection):
    """An index with what nobody touches. One opened before that knows its words some seconds later."""
    index = opened(uri, collection)
    index.add(lamps(index, range(STEADY)))
    return index


def changed(index, own, rounds, seed):
    """One thread's work on passages that are its own; what it left."""
    chosen, there = random.Random(seed), set()
    for _ in range(rounds):
        n = chosen.choice(own)
        if n in there and chosen.random() < 0.4:
            assert index.remove([f"lamp-{n}"]) == 1
            there.remove(n)
        else:
            index.add(lamps(index, [n]))
            there.add(n)
        assert [passage.caller_id for passage in index.get([f"lamp-{n}"])] == [f"lamp-{n}"] * (n in there)
    return there


def watched(index, rounds):
    """A reader's work: what nobody touches is always found, and nothing twice."""

    def found():
        ids = [hit.passage.caller_id for hit in index.search("lamp", k=200)]
        assert len(ids) == len(set(ids))
        return set(ids)

    untouched = {f"lamp-{n}" for n in range(STEADY)}
    for _ in range(rounds):
        # Lite's server has no rows to show for a moment now and then, about once in 3,000 searches.
        assert untouched <= found() or (not index.store.is_file and untouched <= found())
        assert index.count() >= STEADY


def together(indexes, rounds):
    """Three writers and three readers on these; the first index has to end with what the writers left."""
    first, last = indexes[0], indexes[-1]
    with ThreadPoolExecutor(6) as pool:
        writers = [
            pool.submit(changed, index, range(100 * (n + 1), 100 * (n + 1) + 20), rounds, n)
            for n, index in enumerate((first, last, first))
        ]
        readers = [pool.submit(watched, index, rounds) for index in (first, last, last)]
        left = set().union(*(each.result() for each in writers))
        for each in readers:
            each.result()
    expected = {f"lamp-{n}" for n in left | set(range(STEADY))}
    for index in indexes:
        assert {passage.caller_id for passage in index.find()} == expected
        assert {hit.passage.caller_id for hit in index.search("lamp", k=200)} == expected
        assert index.count() == len(expected)


@pytest.mark.parametrize("twice", [False, True], ids=["one index", "two on the same"])
def test_threads_share_an_index(milvus_uri, collection, twice):
    with steady(milvus_uri, collection) as one, opened(milvus_uri, collection) as two:
        together([one, two] if twice else [one], rounds=12)


@pytest.mark.faults
@pytest.mark.parametrize("twice", [False, True], ids=["one index", "two on the same"])
def test_threads_share_an_index_for_long(milvus_uri, collection, twice):
    with steady(milvus_uri, collection) as one, opened(milvus_uri, collection) as two:
        together([one, two] if twice else [one], rounds=300)


def test_many_searches_in_one_event_loop_and_in_the_next(milvus_uri, collection):
    with opened(milvus_uri, collection) as index:
        index.add(lamps(index, range(STEADY)))
        ours, theirs = langchain.HybridRetriever(index, k=3), llama_index.HybridRetriever(index, k=3)

        async def many():
            asked = [f"lamp {n % STEADY}" for n in range(60)]
            return await asyncio.gather(
                *(ours.ainvoke(query) for query in asked), *(theirs.aretrieve(query) for query in asked)
            )

        for _ in range(2):  # Nothing may stay bound to the first loop.
            found = asyncio.run(many())
            told = [found[n][0].page_content for n in range(60)] + [
                found[n][0].node.get_content() for n in range(60, 120)
            ]
            assert told == [f"The lamp {n % STEADY} is red." for n in range(60)] * 2


@pytest.mark.parametrize("how", [pickle.dumps, copy.copy, copy.deepcopy])
def test_an_open_index_is_neither_pickled_nor_copied(tmp_path, how):
    with opened(tmp_path / "a.db") as index:
        for each in (index, langchain.HybridRetriever(index), llama_index.HybridRetriever(index)):
            if how is copy.copy and each is not index:
                continue  # It shares the index.
            with pytest.raises(BadInput, match=r"a\.db.*is open.*open it there"):
                how(each)


def test_spawned_workers_share_a_server_and_are_told_of_a_files_lock(milvus_server, collection, tmp_path):
    with (
        opened(tmp_path / "a.db") as held,
        opened(milvus_server, collection) as shared,
        ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool,
    ):
        found = [pool.submit(added_and_found, milvus_server, collection, n) for n in range(4)]
        locked = pool.submit(attempted, tmp_path / "a.db").result(120)
        refused = pool.submit(attempted, held)
        assert "in use by" in locked and "milvus-lite server" in locked
        with pytest.raises(BadInput, match="neither pickled nor copied"):
            refused.result(60)
        assert [each.result(60) for each in found] == [[f"lamp-{n}"] for n in range(4)]
        assert shared.count() == 4


def test_workers_that_start_together_make_one_collection(milvus_server, collection):
    with ProcessPoolExecutor(3, multiprocessing.get_context("spawn")) as pool:
        for round in range(4):  # All are started by the second.
            name = f"{collection}_{round}"
            found = [pool.submit(added_and_found, milvus_server, name, n) for n in range(3)]
            assert [each.result(120) for each in found] == [[f"lamp-{n}"] for n in range(3)]
            with opened(milvus_server, name) as index:
                assert {passage.caller_id for passage in index.find()} == {"lamp-0", "lamp-1", "lamp-2"}


def test_nobody_drops_what_another_has_begun_between_two_looks(milvus_server, collection, monkeypatch):
    has, make = Engine.has, header._make
    made, pool, begun = Event(), ThreadPoolExecutor(1), []

    def slowly(engine, wanted):
        make(engine, wanted)
        made.set()
        time.sleep(0.5)  # Its header is written after this.

    def another():
        with opened(milvus_server, collection) as index:
            index.add(lamps(index, [1]))

    def looked(engine, name):
        there = has(engine, name)
        if name == collection:
            monkeypatch.setattr(Engine, "has", has)
            monkeypatch.setattr(header, "_make", slowly)
            begun.append(pool.submit(another))
            assert made.wait(10)
            monkeypatch.setattr(header, "_make", make)
        return there

    monkeypatch.setattr(Engine, "has", looked)
    monkeypatch.setattr(Engine, "drop", lambda _, name: pytest.fail(f"{name} is dropped"))
    with pool, opened(milvus_server, collection) as index:
        begun[0].result(20)
        index.add(lamps(index, [2]))
        assert {passage.caller_id for passage in index.find()} == {"lamp-1", "lamp-2"}


def test_who_was_first_says_how_a_collection_is_made(milvus_server, collection, monkeypatch):
    make = header._make

    def alike(engine, wanted):  # What a real server does: making what is there alike is no error.
        monkeypatch.setattr(header, "_make", make)
        with opened(milvus_server, collection) as index:
            index.add(lamps(index, [1]))

    monkeypatch.setattr(header, "_make", alike)
    german = Config(legs=(Bm25Leg(language="german"),), rerank=())
    with pytest.raises(CollectionMismatch, match="language"):
        RagIndex.open(milvus_server, config=german, collection=collection)
    with opened(milvus_server, collection) as index:
        assert index.count() == 1


def test_a_collection_that_was_never_finished_is_made_anew(milvus_server, collection, monkeypatch):
    monkeypatch.setattr("rag_plugins.store.header._LOOKS", 2)
    client = MilvusClient(milvus_server)
    client.create_collection(collection, dimension=4)  # Of another shape, empty, without a record.
    with opened(milvus_server, collection) as index:
        index.add(lamps(index, range(2)))
        assert index.count() == 2
    client.close()


FORKED = """
import os, sys, threading, time
from rag_plugins import Config, RagIndex, langchain, llama_index
from rag_plugins.config import Bm25Leg
config = Config(legs=(Bm25Leg(),), rerank=())
index = RagIndex.open(sys.argv[1], config=config, collection=sys.argv[2])
def lamp(): return index.passage("The red lamp.", caller_id="lamp")
index.add([lamp()])
ours, theirs = langchain.HybridRetriever(index), llama_index.HybridRetriever(index)
calls = [
    lambda: index.search("lamp"), lambda: index.search_many(["lamp", "red"]), lambda: index.run("lamp"),
    lambda: index.diverse("lamp"), lambda: index.get(["lamp"]), lambda: index.find(), lambda: index.count(),
    lambda: index.add([lamp()]), lambda: index.delete("lamp"), lambda: index.remove(["lamp"]),
    lambda: index.clear(), lambda: ours.invoke("lamp"), lambda: theirs.retrieve("lamp"),
    lambda: RagIndex.open(sys.argv[1], config=config, collection=sys.argv[2]),
]
going = True
def busy():  # Locks are held when the process is forked.
    while going:
        index.add([lamp()])
        index.search("lamp")
threads = [threading.Thread(target=busy) for _ in range(3)]
for thread in threads: thread.start()
for _ in range(int(sys.argv[3])):
    time.sleep(0.05)
    child = os.fork()
    if not child:
        for call in calls:
            try:
                print("returned", call(), flush=True)
            except Exception as error:
                print(type(error).__name__, error, flush=True)
        index.close()  # As at the end of a program: it must not touch what is the parent's.
        os._exit(0)
    for _ in range(200):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended: break
        time.sleep(0.1)
    else:
        os.kill(child, 9)
        print("hung", flush=True)
    print("child", status, flush=True)
going = False
for thread in threads: thread.join()
index.add([lamp()])
print("parent", index.count(), len(index.search("lamp")), flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_everything_is_refused_after_a_fork_and_the_parent_goes_on(tmp_path):
    _check_forks(tmp_path / "a.db", "passages", times=2)


@pytest.mark.faults
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_twenty_forks(milvus_uri, collection):
    _check_forks(milvus_uri, collection, times=20)


def _check_forks(uri, collection, times):
    command = [sys.executable, "-c", FORKED, uri, collection, str(times)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    *lines, last = done.stdout.splitlines()
    each = len(lines) // times
    assert (last, done.returncode) == ("parent 1 1", 0), done.stdout + done.stderr
    assert [line for line in lines if line.startswith("child")] == ["child 0"] * times
    told = [line for line in lines if not line.startswith("child")]
    assert each == 15 and len(told) == 14 * times
    assert all(line.startswith("StoreError") and "forked" in line and "spawn" in line for line in told), told


UNCLOSED = """
import sys
from rag_plugins import Config, RagIndex
from rag_plugins.config import Bm25Leg
index = RagIndex.open(sys.argv[1], config=Config(legs=(Bm25Leg(),), rerank=()), collection=sys.argv[2])
index.add([index.passage("The red lamp.", caller_id="lamp")])
"""


def test_a_program_that_ends_without_closing_leaves_all_in_order(milvus_uri, collection):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", UNCLOSED, milvus_uri, collection],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    with opened(milvus_uri, collection) as index:
        assert [hit.passage.caller_id for hit in index.search("lamp")] == ["lamp"]


def _manuals(folder, count):
    folder.mkdir()
    for n in range(count):
        steps = (f"Step {step} of manual {n}: turn the valve {step * n} times." for step in range(40))
        (folder / f"{n:03}.txt").write_text("\n\n".join(steps))


def _ids(db):
    with RagIndex.open(db, preset="lexical") as index:
        return sorted(passage.id for passage in index.find())


def _ingest(folder, db):
    command = [PROGRAM, "ingest", folder.name, "--into", db, "--preset", "lexical"]
    return subprocess.Popen(
        [*map(str, command)],
        cwd=folder.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=HEARD,
    )


def _written(db):
    return sorted((str(path), path.stat().st_size) for path in db.rglob("wal/*"))


def _interrupted(folder, db, seconds):
    """As a terminal does it: the signal goes to the whole process group."""
    before = _written(db)
    process = _ingest(folder, db)
    while _written(db) == before and process.poll() is None:
        time.sleep(0.01)
    time.sleep(seconds)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def _check_interrupted(folder, db, seconds):
    code, out, err = _interrupted(folder, db, seconds)
    if code == 0:
        return False
    assert (code, out) == (130, "")
    assert [line for line in err.splitlines() if line.strip()] == [
        "rag-plugins: stopped; what was read is kept: the same command goes on there"
    ]
    return True


def _resumed(folder, db):
    process = _ingest(folder, db)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out


@pytest.mark.faults
def test_ctrl_c_in_the_middle_of_an_ingestion_is_told_in_a_line_and_resumed_exactly(tmp_path):
    folder, whole, db = tmp_path / "manuals", tmp_path / "whole.db", tmp_path / "stopped.db"
    _manuals(folder, 30)
    _resumed(folder, whole)
    assert _check_interrupted(folder, db, 0.2)
    _resumed(folder, db)  # The lock is free at once.
    assert _ids(db) == _ids(whole)


@pytest.mark.faults
@pytest.mark.timeout(900)
def test_twenty_ctrl_cs_and_each_time_it_goes_on(tmp_path):
    folder, whole, db = tmp_path / "manuals", tmp_path / "whole.db", tmp_path / "stopped.db"
    _manuals(folder, 300)
    _resumed(folder, whole)
    chosen = random.Random(12)
    stopped = sum(_check_interrupted(folder, db, chosen.uniform(0.0, 0.5)) for _ in range(20))
    _resumed(folder, db)
    assert stopped >= 5
    assert _ids(db) == _ids(whole)
    print(f"{stopped} of 20 were stopped before their end")
