"""Servers that die and return, hang, or never answer: used again at once, or one typed error in time."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.metadata import version

import pytest
from faults_support_server import WORDS, filled, full_port, opened, silent_port, waited
from langchain_core.documents import Document
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores.types import VectorStoreQuery
from pymilvus import MilvusClient

from rag_plugins import langchain, llama_index, where
from rag_plugins.errors import StoreError, StoreUnavailable
from rag_plugins.store.engine import Engine
from rag_plugins.store.indexes import index_params
from rag_plugins.store.schema import text_table
from rag_plugins.vectors import SparseVector

TIMEOUT = 1.0
IN_TIME = 1.1 * TIMEOUT
OPENING = 1.5  # Something is imported, too, and certificates are read.
# pymilvus 2.6 takes no options of its channel: gRPC looks for a server again after 1 second, and ever later.
OLD = version("pymilvus").startswith("2.")


def recovered(server, calls, outage):
    """Seconds from the server's return to the first success of each call, made over and over meanwhile."""
    stopped, first = threading.Event(), {}
    back = threading.Event()

    def ask(name, call):
        while not stopped.is_set():
            asked_after = back.is_set()
            try:
                call()
            except StoreUnavailable:
                continue
            if asked_after or back.is_set():
                return first.setdefault(name, time.monotonic())
        return None

    with ThreadPoolExecutor(len(calls)) as pool:
        asked = [pool.submit(ask, *item) for item in calls.items()]
        server.stop()
        time.sleep(outage)
        server.start()
        returned = time.monotonic()
        back.set()
        try:
            for each in asked:
                each.result(30)
        finally:
            stopped.set()
    return {name: when - returned for name, when in first.items()}


def timed(call):
    start = time.monotonic()
    call()
    return time.monotonic() - start


OUTAGES = [1.0, *(pytest.param(seconds, marks=pytest.mark.faults) for seconds in (0.1, 5.0, 20.0))]


@pytest.mark.parametrize("outage", OUTAGES)
def test_a_server_that_returns_is_used_within_a_second(own_milvus_server, tmp_path, outage):
    with filled(opened(own_milvus_server.uri, TIMEOUT, tmp_path)) as index:
        passage = index.passage("a pump", caller_id="new")
        calls = {
            "search": lambda: index.search("pump"),
            "add": lambda: index.add([passage]),
            "get": lambda: index.get(["p1"]),
            "delete": lambda: index.delete("d3"),
            "store.search": lambda: index.store.search("dense", [1.0] + [0.0] * len(WORDS), 3),
            "store.fetch": lambda: index.store.fetch([passage.id]),
            "store.state": lambda: index.store.state.get("header"),
            "store.count": index.store.count,
        }
        usual = {name: timed(call) for name, call in calls.items()}
        seconds = recovered(own_milvus_server, calls, outage)
        print(f"after {outage} s: " + ", ".join(f"{name} {took:.2f} s" for name, took in seconds.items()))
        assert seconds.keys() == calls.keys()
        # A write is many calls, and on a busy machine takes its time without any outage.
        soon = 2.0 + outage if OLD else 1.0
        assert not {name: took for name, took in seconds.items() if took > soon + usual[name]}
        assert {passage.caller_id for passage in index.find()} == {
            "new",
            *(f"p{n}" for n in range(20) if n != 3),
        }


def test_an_outage_shorter_than_the_timeout_is_no_error_to_anyone(own_milvus_server, tmp_path):
    with filled(opened(own_milvus_server.uri, 30.0, tmp_path)) as index:
        calls = [
            lambda: index.search("pump"),
            lambda: index.get(["p1"]),
            index.count,
            lambda: index.store.state.get("header"),
        ]
        until = time.monotonic() + 2.0

        def ask(call):
            answers = []
            while time.monotonic() < until or len(answers) < 2:
                answers.append(call())
            return answers

        with ThreadPoolExecutor(8) as pool:
            asked = [pool.submit(ask, call) for call in calls * 2]
            time.sleep(0.3)
            own_milvus_server.stop()
            time.sleep(0.3)
            own_milvus_server.start()
            for each in asked:
                answers = each.result(60)
                assert all(answer == answers[0] for answer in answers)


def reading(index):
    """Every public call that reads, of the index and of both frameworks."""
    chain, chain_store = langchain.HybridRetriever(index), langchain.RagVectorStore(index)
    llama, llama_store = llama_index.HybridRetriever(index), llama_index.RagVectorStore(index)
    query = VectorStoreQuery(query_str="pump", similarity_top_k=3)
    return {
        "search": lambda: index.search("pump"),
        "search_many": lambda: index.search_many(["pump", "valve", "lamp"]),
        "diverse": lambda: index.diverse("pump"),
        "run": lambda: index.run("pump"),
        "get": lambda: index.get(["p1"]),
        "find": lambda: index.find(where("doc_id") == "d1"),
        "count": index.count,
        "learn": index.learn,
        "tune": index.tune,
        "mine": index.mine_dictionary,
        "langchain invoke": lambda: chain.invoke("pump"),
        "langchain ainvoke": lambda: asyncio.run(chain.ainvoke("pump")),
        "langchain search": lambda: chain_store.similarity_search("pump"),
        "langchain asearch": lambda: asyncio.run(chain_store.asimilarity_search("pump")),
        "langchain get": lambda: chain_store.get_by_ids(["p1"]),
        "langchain mmr": lambda: chain_store.max_marginal_relevance_search("pump"),
        "llama_index retrieve": lambda: llama.retrieve("pump"),
        "llama_index aretrieve": lambda: asyncio.run(llama.aretrieve("pump")),
        "llama_index query": lambda: llama_store.query(query),
        "llama_index aquery": lambda: asyncio.run(llama_store.aquery(query)),
        "llama_index get": lambda: llama_store.get_nodes(["p1"]),
    }


def writing(index, folder):
    """Every public call that writes. They take turns, so each is made by itself."""
    (folder / "new.txt").write_text("A new pump.")
    chain, llama = langchain.RagVectorStore(index), llama_index.RagVectorStore(index)
    passage, node = index.passage("a valve", caller_id="new"), TextNode(text="a lamp", id_="n")
    return {
        "add": lambda: index.add([passage]),
        "delete": lambda: index.delete("d1"),
        "remove": lambda: index.remove(["p1"]),
        "clear": index.clear,
        "ingest": lambda: index.ingest([folder / "new.txt"]),
        "langchain add": lambda: chain.add_documents([Document("a fuse")]),
        "langchain aadd": lambda: asyncio.run(chain.aadd_documents([Document("a fuse")])),
        "langchain delete": lambda: chain.delete(["p1"]),
        "llama_index add": lambda: llama.add([node]),
        "llama_index async_add": lambda: asyncio.run(llama.async_add([node])),
        "llama_index delete": lambda: llama.delete("d1"),
        "llama_index delete_nodes": lambda: llama.delete_nodes(["p1"]),
        "llama_index clear": llama.clear,
    }


def check(seconds):
    late = {name: round(took, 3) for name, took in seconds.items() if not 0 < took < IN_TIME}
    print(f"worst of {len(seconds)}: {max(seconds.values()):.3f} s of {TIMEOUT:g} s")
    assert not late


def test_every_reading_call_on_a_server_that_hangs_fails_in_time(own_milvus_server, tmp_path):
    with filled(opened(own_milvus_server.uri, TIMEOUT, tmp_path), 60) as index:
        calls = reading(index)
        own_milvus_server.freeze()
        with ThreadPoolExecutor(4) as pool:  # More would wait for the processor, not for the server.
            check(dict(zip(calls, pool.map(waited, calls.values()), strict=True)))
        own_milvus_server.thaw()
        assert index.count() == 60 and index.search("pump")


SHORT = ("add", "delete", "ingest")


@pytest.mark.parametrize("names", [SHORT, pytest.param(None, marks=pytest.mark.faults)], ids=["some", "all"])
def test_every_writing_call_on_a_server_that_hangs_fails_in_time(own_milvus_server, tmp_path, names):
    with filled(opened(own_milvus_server.uri, TIMEOUT, tmp_path)) as index:
        calls = writing(index, tmp_path)
        own_milvus_server.freeze()
        check({name: waited(calls[name]) for name in names or calls})
        own_milvus_server.thaw()
        assert index.count() >= 1
        index.add([index.passage("a belt", caller_id="after")])
        assert index.search("belt")[0].passage.caller_id in {"after", "p9", "p19"}


def test_writers_that_wait_for_one_another_fail_in_time_too(own_milvus_server, tmp_path):
    with filled(opened(own_milvus_server.uri, TIMEOUT, tmp_path)) as index:
        calls = {
            n: lambda n=n: index.add([index.passage(f"{WORDS[n]} again", caller_id=f"w{n}")])
            for n in range(4)
        }
        own_milvus_server.freeze()
        with ThreadPoolExecutor(len(calls)) as pool:
            check(dict(zip(calls, pool.map(waited, calls.values()), strict=True)))
        own_milvus_server.thaw()


def test_closing_does_not_hang(own_milvus_server, tmp_path):
    index = filled(opened(own_milvus_server.uri, TIMEOUT, tmp_path), 60)
    index.add([index.passage("one more pump", caller_id="more")])  # Too little to have been saved by now.
    own_milvus_server.freeze()
    assert waited(index.close) < IN_TIME
    start = time.monotonic()
    index.close()
    assert time.monotonic() - start < 0.1
    own_milvus_server.thaw()
    with opened(own_milvus_server.uri, TIMEOUT, tmp_path) as again:
        assert again.count() == 61 and again.search("pump", k=50)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("port", [silent_port, full_port])
def test_opening_where_nobody_answers_fails_in_time(port, scheme, tmp_path):
    with port() as number:
        uri = f"{scheme}://127.0.0.1:{number}"
        took = waited(lambda: opened(uri, OPENING, tmp_path))
        print(f"{took:.3f} s of {OPENING:g} s")
        assert 0.8 * OPENING < took < (1.4 if OLD else 1.1) * OPENING


def test_who_opens_something_else_does_not_wait_for_a_server_that_hangs(tmp_path):
    with silent_port() as number, ThreadPoolExecutor(1) as pool:
        uri = f"http://127.0.0.1:{number}"
        hanging = pool.submit(waited, lambda: opened(uri, 3 * OPENING, tmp_path))
        time.sleep(0.2)
        opened(tmp_path / "handbook.db", OPENING, tmp_path).close()
        assert not hanging.done()
        assert hanging.result() > 2 * OPENING


def another_client(uri):
    """By another name of the address: pymilvus 2.6 closes all connections to one at once."""
    return MilvusClient(uri.replace("127.0.0.1", "localhost"))


def doubled(vector):
    return SparseVector(vector.indices, vector.values * 2)


def test_a_row_that_another_process_deletes_does_not_stop_a_rewrite(milvus_server, collection, tmp_path):
    with filled(opened(milvus_server, 30.0, tmp_path, collection)) as index:
        old = index.store.vectors("bm25", index.store.ids())
        other, deleted = another_client(milvus_server), []

        def make(passages):
            if not deleted:
                deleted.append(passages[3].id)
                other.delete(collection, ids=deleted)
            return [doubled(old[passage.id]) for passage in passages]

        index.store.rewrite("bm25", make)
        other.close()
        new = index.store.vectors("bm25", list(old))
        assert new.keys() == old.keys() - set(deleted) and len(deleted) == 1
        assert all(new[id] == doubled(old[id]) for id in new)


def test_a_row_that_another_process_deletes_does_not_stop_other_texts(
    milvus_server, collection, tmp_path, monkeypatch
):
    with filled(opened(milvus_server, 30.0, tmp_path, collection)) as index:
        passages = [replace(passage, llm_text="another text") for passage in index.find()]
        other, retext = another_client(milvus_server), index.store._writes.retext

        def late(stored, given):
            other.delete(collection, ids=[passages[3].id])
            return retext(stored, given)

        with monkeypatch.context() as patch:
            patch.setattr(index.store._writes, "retext", late)
            assert len(index.store.retext(passages)) == len(passages) - 1
        other.close()
        assert {passage.llm_text for passage in index.find()} == {"another text"}


@pytest.mark.parametrize("times", [1, 2])
def test_what_a_server_lost_before_it_was_recorded_is_written_again(
    milvus_server, collection, tmp_path, monkeypatch, times
):
    with opened(milvus_server, 30.0, tmp_path, collection) as index:
        other, put, lost = another_client(milvus_server), index.store._writes.put, []

        def killed(entries, old):
            put(entries, old)
            if len(lost) < times:
                lost.append(passages[-1].id)
                other.delete(collection, ids=lost[-1:])

        monkeypatch.setattr(index.store._writes, "put", killed)
        passages = [index.passage(word, caller_id=word) for word in WORDS[:3]]
        if times == 1:
            index.add(passages)
            assert [hit.passage.caller_id for hit in index.search(WORDS[2], k=1)] == [WORDS[2]]
            assert index.audit().sound
        else:
            with pytest.raises(StoreError, match="1 of 3 passages are not there after they were written"):
                index.add(passages)
        other.close()
        assert lost == [passages[-1].id] * times


def test_a_companion_that_somebody_else_is_just_making_is_used(milvus_server, collection, tmp_path):
    name = f"{collection}_companion"
    with opened(milvus_server, 30.0, tmp_path, collection) as index:
        engine, schema = index.store.rows.engine, text_table()
        made = threading.Thread(target=engine.ensure, args=(name, schema, index_params(schema, ["key"])))
        made.start()
        engine.ensure(name, schema, index_params(schema, ["key"]))
        made.join()
        engine.ensure(name, schema, index_params(schema, ["key"]))  # It is there already.
        assert engine.count(name) == 0
        with pytest.raises(StoreError):
            engine.ensure("name" * 100, schema, index_params(schema, ["key"]))
        engine.drop(name)


def test_a_moment_without_rows_is_none_without_hits(milvus_server, collection, tmp_path, monkeypatch):
    with opened(milvus_server, 30.0, tmp_path, collection) as index:
        index.add([index.passage(word, caller_id=word) for word in WORDS[:3]])
        engine, shown = index.store.rows.engine, []

        def ask(method, name, ask=engine._ask, **arguments):
            if method == "search":
                shown.append(name)
            return [[]] if method == "search" and len(shown) == 1 else ask(method, name, **arguments)

        monkeypatch.setattr(type(engine), "_ask", lambda self, *args, **arguments: ask(*args, **arguments))
        assert [hit.passage.caller_id for hit in index.search(WORDS[1], k=1)] == [WORDS[1]]
        assert len(shown) > 1


def test_who_is_overtaken_while_flushing_flushes_again(milvus_server, collection, tmp_path, monkeypatch):
    with opened(milvus_server, 30.0, tmp_path, collection) as index:
        asked, real = [], Engine._ask

        def ask(self, method, name, **arguments):
            if name == collection and method in ("upsert", "flush", "delete"):
                asked.append(method)
                if asked in (["upsert", "flush"], ["upsert", "flush", "delete", "flush"]):
                    raise StoreError("flush: current_seq is monotonic; tried to set 2 < 3")
            return real(self, method, name, **arguments)

        monkeypatch.setattr(Engine, "_ask", ask)
        index.add([index.passage(word, caller_id=word) for word in WORDS[:3]])
        assert asked[:6] == ["upsert", "flush", "delete", "flush", "delete", "flush"]
        assert [hit.passage.caller_id for hit in index.search(WORDS[1], k=1)] == [WORDS[1]]
