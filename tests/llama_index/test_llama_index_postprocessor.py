import pytest
from faces_support import WordOverlap, watched
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.schema import MetadataMode, NodeWithScore, TextNode

from rag_plugins.errors import BadInput
from rag_plugins.llama_index import CrossEncoderPostprocessor, HybridRetriever


def foreign():
    return [
        NodeWithScore(node=TextNode(id_="1", text="no match"), score=0.9),
        NodeWithScore(node=TextNode(id_="2", text="x", metadata={"k": "lamp red"}), score=0.8),
        NodeWithScore(node=TextNode(id_="3", text="red"), score=None),
    ]


def test_the_best_come_first_and_keep_their_retrieval_score():
    nodes = foreign()
    best = CrossEncoderPostprocessor(WordOverlap(), top_n=2).postprocess_nodes(nodes, query_str="red lamp")

    assert [(node.node_id, node.score) for node in best] == [("2", 2.0), ("3", 1.0)]
    assert [node.metadata["retrieval_score"] for node in best] == [0.8, None]
    for mode in MetadataMode.EMBED, MetadataMode.LLM:
        assert best[0].get_content(mode) == nodes[1].get_content(mode)
    assert nodes == foreign()


def test_no_nodes_and_no_query():
    postprocessor = CrossEncoderPostprocessor(WordOverlap())

    assert postprocessor.postprocess_nodes([], query_str="red") == []
    with pytest.raises(BadInput, match="got no query"):
        postprocessor.postprocess_nodes(foreign())


def test_found_nodes_are_read_by_their_view(index):
    found = HybridRetriever(index).retrieve("lamp interval")
    [best] = CrossEncoderPostprocessor(WordOverlap(), top_n=1).postprocess_nodes(
        found, query_str="maintenance interval"
    )

    assert best.node_id == "filter"
    assert best.get_content(MetadataMode.LLM) == "Change the air filter every 6 months."


async def test_the_event_loop_runs_on_during_reranking():
    work = CrossEncoderPostprocessor(WordOverlap(seconds=0.4), top_n=1).apostprocess_nodes(
        foreign(), query_str="red lamp"
    )
    best, stood_still = await watched(work)

    assert [node.node_id for node in best] == ["2"]
    assert stood_still < 0.2


def test_callbacks_see_the_reranking():
    debug = LlamaDebugHandler(print_trace_on_end=False)
    postprocessor = CrossEncoderPostprocessor(WordOverlap(), callback_manager=CallbackManager([debug]))
    postprocessor.postprocess_nodes(foreign(), query_str="red lamp")
    [(start, end)] = debug.get_event_pairs(CBEventType.RERANKING)

    assert (start.payload["query_str"], start.payload["model_name"]) == ("red lamp", "word-overlap")
    assert [node.node_id for node in end.payload["nodes"]] == ["2", "3", "1"]


def test_settings_survive_serialisation():
    postprocessor = CrossEncoderPostprocessor("BAAI/bge-reranker-v2-m3", top_n=3)
    again = CrossEncoderPostprocessor.from_dict(postprocessor.to_dict())

    assert (again.model, again.top_n) == ("BAAI/bge-reranker-v2-m3", 3)
    assert CrossEncoderPostprocessor.from_json(postprocessor.to_json()).to_dict() == postprocessor.to_dict()
