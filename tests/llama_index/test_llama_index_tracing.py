"""What a program that listens to LlamaIndex' events and callbacks hears of our classes."""

from contextlib import contextmanager

import llama_index.core.instrumentation as instrument
import pytest
from faces_support import WordOverlap
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.response_synthesizers import get_response_synthesizer
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from opentelemetry import trace
from pydantic import PrivateAttr
from spans_support import recorded

from rag_plugins.errors import BadInput
from rag_plugins.llama_index import CrossEncoderPostprocessor, HybridRetriever, MatryoshkaEmbedding


class Listener(BaseEventHandler):
    _events: list = PrivateAttr(default_factory=list)

    @classmethod
    def class_name(cls):
        return "Listener"

    def handle(self, event, **kwargs):
        self._events.append(event)

    def names(self):
        return [event.class_name() for event in self._events]


@contextmanager
def listening(handler, kind):
    handlers = getattr(instrument.get_dispatcher(), kind)
    handlers.append(handler)
    try:
        yield handler
    finally:
        handlers.remove(handler)


@pytest.fixture
def heard():
    with listening(Listener(), "event_handlers") as listener:
        yield listener


@pytest.fixture
def spans():
    with listening(SimpleSpanHandler(), "span_handlers") as handler:
        yield handler


@pytest.fixture
def debug():
    return LlamaDebugHandler(print_trace_on_end=False)


@pytest.fixture
def manager(debug):
    return CallbackManager([debug])


@pytest.fixture
def embedding(manager, monkeypatch):
    """Ours, its model taken away: what is heard does not depend on the vectors."""
    made = MatryoshkaEmbedding(callback_manager=manager, embed_batch_size=2)
    monkeypatch.setattr(made._matryoshka, "queries", lambda texts: [[1.0, 0.0] for _ in texts])
    monkeypatch.setattr(made._matryoshka, "documents", lambda texts: [[0.0, 1.0] for _ in texts])
    return made


def pair(debug, kind):
    """The one event of this kind: what it started and ended with."""
    ((start, end),) = debug.get_event_pairs(kind)
    return start.payload, end.payload


RETRIEVAL = ["RetrievalStartEvent", "RetrievalEndEvent"]
RERANKING = ["ReRankStartEvent", "ReRankEndEvent"]
EMBEDDING = ["EmbeddingStartEvent", "EmbeddingEndEvent"]


def method(span):
    """Of our retriever, whose (a)retrieve LlamaIndex brackets as well as what that calls."""
    name, _, _ = span.id_.removeprefix("HybridRetriever.").partition("-")
    return name


def said(event):
    bundle = event.str_or_query_bundle
    return bundle.query_str if isinstance(bundle, QueryBundle) else bundle


@pytest.mark.parametrize("path", ["retrieve", "aretrieve"])
async def test_a_retrieval_is_heard_once(index, heard, spans, debug, manager, path):
    retriever = HybridRetriever(index, k=1, callback_manager=manager)
    given = getattr(retriever, path)("red lamp")
    [found] = await given if path == "aretrieve" else given

    assert heard.names() == RETRIEVAL
    start, end = heard._events
    assert said(start) == said(end) == "red lamp"
    assert [node.node_id for node in end.nodes] == ["lamp"]
    started, ended = pair(debug, CBEventType.RETRIEVE)
    assert started["query_str"] == "red lamp" and ended["nodes"] == [found]
    inner, outer = spans.completed_spans
    assert (method(inner), method(outer)) == ("_retrieve", path)
    assert start.span_id == end.span_id == outer.id_ == inner.parent_id


@pytest.mark.parametrize("path", ["retrieve", "aretrieve"])
async def test_a_failed_retrieval_drops_its_span(index, heard, spans, path):
    retriever = HybridRetriever(index, legs=["nonsense"])
    with pytest.raises(BadInput):
        given = getattr(retriever, path)("red lamp")
        await given
    assert heard.names()[0] == RETRIEVAL[0] and RETRIEVAL[1] not in heard.names()
    assert [method(span) for span in spans.dropped_spans] == ["_retrieve", path]
    assert not spans.open_spans


@pytest.mark.parametrize("path", ["postprocess_nodes", "apostprocess_nodes"])
async def test_a_reranking_is_heard_once(heard, debug, manager, path):
    nodes = [NodeWithScore(node=TextNode(id_=text, text=text), score=0.5) for text in ("red", "red lamp")]
    reranker = CrossEncoderPostprocessor(WordOverlap(), top_n=1, callback_manager=manager)
    given = getattr(reranker, path)(nodes, query_str="red lamp")
    [best] = await given if path == "apostprocess_nodes" else given

    assert heard.names() == RERANKING
    start, end = heard._events
    assert (start.top_n, start.model_name, len(start.nodes)) == (1, "word-overlap", 2)
    assert end.nodes == [best]
    started, ended = pair(debug, CBEventType.RERANKING)
    assert started["query_str"] == "red lamp" and len(started["nodes"]) == 2
    assert ended["nodes"] == [best]


@pytest.mark.parametrize("path", ["get_query_embedding", "get_text_embedding"])
@pytest.mark.parametrize("prefix", ["", "a"])
async def test_an_embedding_is_heard_once(embedding, heard, debug, path, prefix):
    given = getattr(embedding, prefix + path)("red lamp")
    vector = await given if prefix else given

    assert heard.names() == EMBEDDING
    assert heard._events[0].model_dict["model_name"] == "all-MiniLM-L6-v2"
    assert heard._events[1].chunks == ["red lamp"] and heard._events[1].embeddings == [vector]
    _, ended = pair(debug, CBEventType.EMBEDDING)
    assert ended["embeddings"] == [vector]


@pytest.mark.parametrize("prefix", ["", "a"])
async def test_each_batch_of_embeddings_is_heard_once(embedding, heard, debug, prefix):
    given = getattr(embedding, prefix + "get_text_embedding_batch")(["one", "two", "three"])
    assert len(await given if prefix else given) == 3
    assert sorted(heard.names()) == sorted(EMBEDDING * 2)
    assert len(debug.get_event_pairs(CBEventType.EMBEDDING)) == 2


def test_a_query_engine_hears_retrieval_then_reranking(index, heard, manager):
    engine = RetrieverQueryEngine(
        HybridRetriever(index, callback_manager=manager),
        get_response_synthesizer(llm=MockLLM()),
        node_postprocessors=[CrossEncoderPostprocessor(WordOverlap(), callback_manager=manager)],
        callback_manager=manager,
    )
    engine.query("red lamp")
    ours = [name for name in heard.names() if name.startswith(("Retrieval", "ReRank"))]
    assert ours == RETRIEVAL + RERANKING


async def test_spans_hang_below_the_callers_on_both_paths(index):
    retriever = HybridRetriever(index)
    with recorded() as spans, trace.get_tracer("program").start_as_current_span("engine"):
        retriever.retrieve("red lamp")
        await retriever.aretrieve("red lamp")
        program = trace.get_current_span().get_span_context().span_id
    searches = [span for span in spans if span.name == "rag_plugins.search"]
    assert [span.parent.span_id for span in searches] == [program] * 2
