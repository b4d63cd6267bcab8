import base64
import time

import pytest
from faces_support import PLAN, VALVE, WordOverlap, dual_index, watched
from llama_index.core import get_response_synthesizer
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.retrieval import RetrievalEndEvent, RetrievalStartEvent
from llama_index.core.llms import MockLLM
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import Document, MetadataMode, QueryBundle, TextNode
from llama_index.core.tools import RetrieverTool
from page_support import picture

from rag_plugins import RagIndex, where
from rag_plugins.errors import BadInput, BadPassage, BadQuery
from rag_plugins.llama_index import CrossEncoderPostprocessor, HybridQuery, HybridRetriever
from rag_plugins.llama_index.convert import sides


def ids(nodes):
    return [node.node_id for node in nodes]


def test_retrieval_reads_the_view_and_gives_the_llms_text(index):
    [found, *_] = HybridRetriever(index).retrieve("maintenance interval")

    assert found.node_id == "filter"
    assert found.get_content(MetadataMode.LLM) == "Change the air filter every 6 months."
    assert found.node.ref_doc_id == "handbook"
    assert found.score == found.metadata["rag_plugins"]["score"]


def test_recall_rules_and_what_they_matched(index, caplog):
    retriever = HybridRetriever(index, rules=True, explain=True)

    [found] = retriever.retrieve('"maintenance interval" monts~1')
    assert found.node_id == "filter"
    matched = {match["term"]: match["rule"] for match in found.metadata["rag_plugins"]["terms"]["bm25"]}
    assert matched == {"maintenance interval": '"maintenance interval"', "months": "monts~1"}
    assert "maintenance" not in found.get_content(MetadataMode.LLM)
    with caplog.at_level("DEBUG", "rag_plugins"):
        assert retriever.retrieve("zeppel*") == []
    assert "zeppel*: no term" in caplog.text
    assert not any(
        "zeppel" in record.getMessage() for record in caplog.records if record.levelname != "DEBUG"
    )
    with pytest.raises(BadQuery, match="character 1"):
        retriever.retrieve('"air filter')


def test_k_filter_and_legs(index):
    assert len(HybridRetriever(index, k=1).retrieve("tank")) == 1
    assert ids(HybridRetriever(index, filter=where("year") == 2023).retrieve("tank")) == ["tank"]
    assert ids(HybridRetriever(index, 5, None, ["bm25"]).retrieve("lamp")) == ["lamp"]
    with pytest.raises(BadInput, match="unknown legs"):
        HybridRetriever(index, legs=["dense"]).retrieve("lamp")


async def test_the_mode_is_set_once_or_for_one_query(index, tmp_path):
    with dual_index(tmp_path / "dual.db") as dual:
        assert ids(HybridRetriever(dual, k=1).retrieve("blue")) == ["plan"]
        text = HybridRetriever(dual, k=1, mode="text")
        assert ids(text.retrieve("blue")) == []
        assert ids(text.retrieve(HybridQuery("blue", mode="dual"))) == ["plan"]
        assert ids(text.retrieve(HybridQuery("blue"))) == []
        parts = HybridRetriever(dual, k=1, expand=lambda question: [HybridQuery("blue", mode="dual")])
        assert ids(parts.retrieve(HybridQuery("zzz", mode="text"))) == []
        assert ids(parts.retrieve(HybridQuery("zzz", mode="dual"))) == ["plan"]
        assert ids(await HybridRetriever(dual, k=1).aretrieve(HybridQuery("blue", mode="text"))) == []
    with pytest.raises(BadInput, match="needs a leg that reads images"):
        HybridRetriever(index, mode="dual").retrieve("lamp")


def test_pages_follow_as_image_nodes_each_once(tmp_path):
    with dual_index(tmp_path / "dual.db") as dual:
        found = HybridRetriever(dual, images=True).retrieve("shutoff spares red blue")
        text, images = found[:3], found[3:]

        assert set(ids(text)) == {"valve", "spare", "plan"}
        assert {node.get_content(MetadataMode.LLM) for node in text} == {VALVE, "Order number 4711.", PLAN}
        assert {(node.node_id, node.get_content(MetadataMode.LLM)) for node in images} <= {
            (dual.assets.put(picture("red")), 'source "manual.pdf", page 7'),
            (dual.assets.put(picture("red")), 'source "spare"'),
            (dual.assets.put(picture("blue")), 'source "plan.pdf", page 3'),
        }
        assert len(images) == 2
        assert {base64.b64decode(node.node.image) for node in images} == {picture("red"), picture("blue")}


def test_nothing_found_is_an_empty_list(index):
    assert HybridRetriever(index).retrieve("zeppelin") == []
    assert HybridRetriever(index).retrieve(QueryBundle("")) == []


def test_unicode_comes_back_as_it_was(index):
    [found] = HybridRetriever(index).retrieve("水箱")

    assert (found.node_id, found.text) == ("café", "咖啡机的水箱是空的。 Un café, s'il vous plaît 🙂")


async def test_async_gives_the_same(index):
    retriever = HybridRetriever(index)

    assert await retriever.aretrieve("tank") == retriever.retrieve("tank")


async def test_the_event_loop_runs_on_during_a_search(index, monkeypatch):
    search = index.search

    def slow(*args, **kwargs):
        time.sleep(0.4)
        return search(*args, **kwargs)

    monkeypatch.setattr(index, "search", slow)
    found, stood_still = await watched(HybridRetriever(index).aretrieve("lamp"))

    assert ids(found) == ["lamp"]
    assert stood_still < 0.2


def test_callbacks_see_query_and_nodes(index):
    debug = LlamaDebugHandler(print_trace_on_end=False)
    HybridRetriever(index, callback_manager=CallbackManager([debug])).retrieve("lamp")
    [(start, end)] = debug.get_event_pairs(CBEventType.RETRIEVE)

    assert start.payload["query_str"] == "lamp"
    assert ids(end.payload["nodes"]) == ["lamp"]


class Recorder(BaseEventHandler):
    seen: list = []

    @classmethod
    def class_name(cls):
        return "Recorder"

    def handle(self, event, **kwargs):
        self.seen.append(event)


@pytest.fixture
def events():
    dispatcher, recorder = get_dispatcher(), Recorder(seen=[])
    dispatcher.add_event_handler(recorder)
    yield recorder.seen
    dispatcher.event_handlers.remove(recorder)


def test_instrumentation_sees_start_and_end(index, events):
    HybridRetriever(index).retrieve("lamp")

    assert [type(event) for event in events] == [RetrievalStartEvent, RetrievalEndEvent]
    assert ids(events[1].nodes) == ["lamp"]


def engine(retriever, *postprocessors):
    """A query engine whose LLM answers with its own prompt."""
    synthesizer = get_response_synthesizer(llm=MockLLM())
    return RetrieverQueryEngine(retriever, synthesizer, node_postprocessors=list(postprocessors))


async def test_what_reaches_the_llm_of_a_query_engine_is_the_llms_text(index):
    for postprocessors in [], [CrossEncoderPostprocessor(WordOverlap(), top_n=2)]:
        asked = engine(HybridRetriever(index, k=2), *postprocessors)
        for answer in asked.query("which interval?"), await asked.aquery("which interval?"):
            assert "Change the air filter every 6 months." in str(answer)
            assert "maintenance" not in str(answer)
            assert "year" not in str(answer)
            assert "rag_plugins" not in str(answer)


def test_a_passage_with_two_sides_of_its_own_reaches_the_llm_by_one(index):
    index.add([index.passage("Torque: 12 Nm.", view="bolt tightening moment", metadata={"page": 7})])
    answer = str(engine(HybridRetriever(index, k=1)).query("tightening"))

    assert "Torque: 12 Nm." in answer
    assert "moment" not in answer


def test_a_retriever_tool_answers_with_the_llms_text(index):
    tool = RetrieverTool.from_defaults(HybridRetriever(index, k=1))

    assert tool.call("interval").content.strip() == "Change the air filter every 6 months."


def test_from_nodes_builds_searches_and_lets_go_of_the_file(tmp_path):
    nodes = [TextNode(id_="a", text="alpha beta"), TextNode(id_="b", text="gamma")]
    for _ in range(2):
        with HybridRetriever.from_nodes(nodes, path=tmp_path / "n.db", preset="lexical", k=1) as retriever:
            assert ids(retriever.retrieve("gamma")) == ["b"]
            assert retriever.index.count() == 2


def test_from_documents_splits_and_adding_again_replaces(tmp_path):
    text = " ".join(f"Sentence number {n} of the text." for n in range(400))
    documents = [Document(id_="short", text="gamma", metadata={"n": 1}), Document(id_="long", text=text)]
    counts = []
    for _ in range(2):
        with HybridRetriever.from_documents(documents, path=tmp_path / "d.db", preset="lexical") as retriever:
            [found] = retriever.retrieve("gamma")
            counts.append(retriever.index.count())
            assert retriever.retrieve("399")[0].node.ref_doc_id == "long"

    assert (found.node_id, found.node.ref_doc_id, found.metadata["n"]) == ("short#0", "short", 1)
    assert counts[0] == counts[1] > 3


def test_from_documents_leaves_a_readers_passages_whole(tmp_path):
    document = Document(id_="p", **sides("The LLM's text.", "view " * 2000, {"page": 1}))
    with HybridRetriever.from_documents([document], path=tmp_path / "d.db", preset="lexical") as retriever:
        [found] = retriever.retrieve("view")

    assert found.node_id == "p"
    assert found.get_content(MetadataMode.LLM) == "The LLM's text."


def test_nodes_that_cannot_be_stored_are_refused_before_any_is(tmp_path):
    nodes = [TextNode(text="fine"), TextNode(text="bad", metadata={"x": object()})]
    with pytest.raises(BadPassage, match="'x'"):
        HybridRetriever.from_nodes(nodes, path=tmp_path / "n.db", preset="lexical")

    with RagIndex.open(tmp_path / "n.db", preset="lexical") as index:
        assert index.count() == 0


def test_a_retriever_over_a_given_index_leaves_it_open(index):
    with HybridRetriever(index) as retriever:
        retriever.retrieve("lamp")

    assert index.search("lamp")


def test_split_documents_are_found_and_deleted_by_their_documents_id(tmp_path):
    text = " ".join(f"Sentence number {n} of the text." for n in range(60))
    document = Document(id_="doc", text=text, metadata={"title": "Sentences"})
    nodes = SentenceSplitter(chunk_size=64, chunk_overlap=0).get_nodes_from_documents([document])
    with HybridRetriever.from_nodes(nodes, path=tmp_path / "s.db", preset="lexical", k=99) as retriever:
        found = {node.node_id: node for node in retriever.retrieve("title")}

        assert set(found) == set(ids(nodes))
        for node in nodes:
            assert found[node.node_id].node.relationships.keys() == node.relationships.keys()
            assert found[node.node_id].node.ref_doc_id == "doc"
            assert found[node.node_id].node.get_node_info() == node.get_node_info()
        assert retriever.index.delete("doc") == len(nodes)


def test_the_local_preset_finds_meaning_and_reranks(tmp_path):
    nodes = [
        TextNode(id_="cat", text="A kitten sleeps on the sofa."),
        TextNode(id_="tax", text="Income must be declared by the end of May."),
    ]
    with HybridRetriever.from_nodes(nodes, path=tmp_path / "local.db", k=1) as retriever:
        [found] = retriever.retrieve("Where does the young cat rest?")

    assert found.node_id == "cat"
    assert [stage["kind"] for stage in found.metadata["rag_plugins"]["trace"]][-2:] == ["fusion", "rerank"]
