"""What a program that listens to LangChain's callbacks hears of our classes."""

import pytest
from faces_support import WordOverlap
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from opentelemetry import trace
from spans_support import recorded

from rag_plugins.errors import BadInput
from rag_plugins.langchain import CrossEncoderCompressor, HybridRetriever

CONFIG = {"tags": ["call"], "metadata": {"user": "7"}, "run_name": "handbook"}
STARTED = ("start", "red lamp", "handbook", {"own", "call"}, "7", "mine")
FOUND = ("end", ["lamp"])


class Listener(BaseCallbackHandler):
    def __init__(self):
        self.heard = []

    def on_retriever_start(self, serialized, query, *, tags=None, metadata=None, **about):
        known = metadata or {}
        self.heard.append(
            ("start", query, about.get("name"), set(tags or ()), known.get("user"), known.get("team"))
        )

    def on_retriever_end(self, documents, **about):
        self.heard.append(("end", [document.id for document in documents]))

    def on_retriever_error(self, error, **about):
        self.heard.append(("error", type(error).__name__))


@pytest.fixture
def listener():
    return Listener()


@pytest.fixture
def retriever(index):
    return HybridRetriever(index, k=1, tags=["own"], metadata={"team": "mine"})


@pytest.fixture
def config(listener):
    return {**CONFIG, "callbacks": [listener]}


def test_invoke_is_heard_once(retriever, listener, config):
    retriever.invoke("red lamp", config)
    assert listener.heard == [STARTED, FOUND]


async def test_ainvoke_is_heard_once(retriever, listener, config):
    await retriever.ainvoke("red lamp", config)
    assert listener.heard == [STARTED, FOUND]


def test_each_of_a_batch_is_heard(retriever, listener, config):
    retriever.batch(["red lamp", "red lamp"], {**config, "max_concurrency": 1})
    assert listener.heard == [STARTED, FOUND] * 2


async def test_each_of_an_abatch_is_heard(retriever, listener, config):
    await retriever.abatch(["red lamp", "red lamp"], {**config, "max_concurrency": 1})
    assert listener.heard == [STARTED, FOUND] * 2


def test_what_with_config_says_is_heard(retriever, listener, config):
    retriever.with_config(**config).invoke("red lamp")
    assert listener.heard == [STARTED, FOUND]


def test_a_stream_is_one_run(retriever, listener, config):
    [chunk] = retriever.stream("red lamp", config)
    assert [document.id for document in chunk] == ["lamp"]
    assert listener.heard == [STARTED, FOUND]


async def test_an_astream_is_one_run(retriever, listener, config):
    [chunk] = [chunk async for chunk in retriever.astream("red lamp", config)]
    assert [document.id for document in chunk] == ["lamp"]
    assert listener.heard == [STARTED, FOUND]


async def test_astream_events_name_the_retriever(retriever, config):
    events = [event async for event in retriever.astream_events("red lamp", config, version="v2")]
    assert [event["event"] for event in events if "retriever" in event["event"]] == [
        "on_retriever_start",
        "on_retriever_end",
    ]
    assert {event["name"] for event in events} == {"handbook"}


async def test_a_failed_search_is_heard_as_an_error(retriever, listener, config):
    with pytest.raises(BadInput):
        retriever.invoke("red lamp", config, legs=["nonsense"])
    with pytest.raises(BadInput):
        await retriever.ainvoke("red lamp", config, legs=["nonsense"])
    assert listener.heard == [STARTED, ("error", "BadInput")] * 2


def test_under_a_compression_retriever_ours_is_a_run_of_its_own(retriever, listener, config):
    reranked = ContextualCompressionRetriever(
        base_retriever=retriever, base_compressor=CrossEncoderCompressor(WordOverlap())
    )
    found = reranked.invoke("red lamp", config)
    assert [document.id for document in found] == ["lamp"]
    assert [heard[0] for heard in listener.heard] == ["start", "start", "end", "end"]


def test_runs_of_others_are_not_disturbed_by_a_compressor_alone(listener):
    documents = [Document(id="a", page_content="red"), Document(id="b", page_content="red lamp")]
    found = CrossEncoderCompressor(WordOverlap()).compress_documents(documents, "red lamp", [listener])
    assert [document.id for document in found] == ["b", "a"]
    assert listener.heard == []


async def test_spans_hang_below_the_callers_on_every_path(retriever):
    with recorded() as spans, trace.get_tracer("program").start_as_current_span("chain"):
        retriever.invoke("red lamp")
        await retriever.ainvoke("red lamp")
        retriever.batch(["red lamp", "filter"])
        await retriever.abatch(["red lamp", "filter"])
        [chunk async for chunk in retriever.astream("red lamp")]
        program = trace.get_current_span().get_span_context().span_id
    searches = [span for span in spans if span.name == "rag_plugins.search"]
    assert len(searches) == 7
    assert {span.parent.span_id for span in searches} == {program}
