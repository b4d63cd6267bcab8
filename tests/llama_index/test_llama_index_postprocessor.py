import base64
import hashlib
import logging

import numpy as np
import pytest
from faces_support import WordOverlap, watched
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import (
    Document,
    ImageDocument,
    ImageNode,
    IndexNode,
    MetadataMode,
    Node,
    NodeWithScore,
    TextNode,
)

from rag_plugins.errors import BadInput
from rag_plugins.llama_index import CrossEncoderPostprocessor, HybridRetriever
from rag_plugins.models.protocols import Candidate, Scores
from rag_plugins.types import EmbedImage, EmbedText


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


class ReadsImages(WordOverlap):
    """Scores an image by its bytes: b"3" by 3."""

    reads_images = True

    def score(self, query, candidates):
        self.given = candidates
        return Scores(np.array([float(candidate.image or 0) for candidate in candidates], np.float32))


def test_images_are_given_to_a_reranker_that_reads_them_and_paths_and_urls_are_not_followed(caplog):
    nodes = [
        ImageNode(id_="path", text="x", image_path="/etc/passwd"),
        ImageNode(id_="url", image_url="http://localhost:9/x.png"),
        ImageNode(id_="three", text="y", image=base64.b64encode(b"3").decode()),
        ImageDocument(id_="four", image=base64.b64encode(b"4").decode()),
        ImageNode(id_="broken", image="no base64!"),
    ]
    model = ReadsImages()
    best = CrossEncoderPostprocessor(model).postprocess_nodes(
        [NodeWithScore(node=node) for node in nodes], query_str="red"
    )

    assert [(node.node_id, node.score) for node in best] == [
        ("four", 4),
        ("three", 3),
        ("path", 0),
        ("url", 0),
        ("broken", 0),
    ]
    image = EmbedImage(hashlib.sha256(b"3").hexdigest())
    assert model.given[2] == Candidate((EmbedText("y"), image), image=b"3")
    assert model.given[0] == Candidate((EmbedText("x"),))
    assert model.given[4] == Candidate((EmbedText(""),))
    assert "node broken is read without its image" in caplog.text
    assert best[1].node.image == nodes[2].image


def test_a_reranker_of_texts_reads_the_texts_of_all_kinds_of_nodes():
    picture = base64.b64encode(b"3").decode()
    nodes = [
        IndexNode(id_="index", text="red", index_id="other"),
        ImageNode(id_="image", text="red lamp", image=picture),
        Document(id_="document", text="lamp"),
        Node(id_="bare"),
        TextNode(id_="kept", text="", metadata={"k": "red lamp red"}, excluded_embed_metadata_keys=["k"]),
    ]
    best = CrossEncoderPostprocessor(WordOverlap()).postprocess_nodes(
        [NodeWithScore(node=node, score=1.0) for node in nodes], query_str="red lamp"
    )

    assert [(node.node_id, node.score) for node in best] == [
        ("image", 2),
        ("index", 1),
        ("document", 1),
        ("bare", 0),
        ("kept", 0),
    ]
    assert [type(node.node) for node in best[:2]] == [ImageNode, IndexNode]


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
    [hit] = [node for node in found if node.node_id == "filter"]
    assert best.get_content(MetadataMode.EMBED) == hit.get_content(MetadataMode.EMBED)
    was, now = hit.metadata["rag_plugins"], best.metadata["rag_plugins"]
    assert now["trace"] == [
        *was["trace"],
        {"stage": "word-overlap", "kind": "rerank", "rank": 1, "score": 2.0},
    ]
    assert (now["score"], now["passage_id"]) == (best.score, was["passage_id"])
    assert best.metadata["retrieval_score"] == hit.score == was["score"]


def test_in_a_query_engine(index, caplog):
    engine = RetrieverQueryEngine.from_args(
        HybridRetriever(index),
        llm=MockLLM(),
        node_postprocessors=[CrossEncoderPostprocessor(WordOverlap(), top_n=1, min_score=2)],
    )

    found = engine.query("maintenance interval")
    assert [node.node_id for node in found.source_nodes] == ["filter"]
    assert "rag_plugins" not in str(found)
    with caplog.at_level(logging.INFO, "rag_plugins"):
        assert engine.query("lamp").source_nodes == []
    assert "nothing relevant" in caplog.text


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


def test_events_end_where_nothing_is_relevant():
    debug = LlamaDebugHandler(print_trace_on_end=False)
    postprocessor = CrossEncoderPostprocessor(
        WordOverlap(), min_score=9, callback_manager=CallbackManager([debug])
    )

    assert postprocessor.postprocess_nodes(foreign(), query_str="red lamp") == []
    [(_, end)] = debug.get_event_pairs(CBEventType.RERANKING)
    assert end.payload["nodes"] == []


def test_settings_survive_serialisation():
    postprocessor = CrossEncoderPostprocessor("BAAI/bge-reranker-v2-m3", top_n=3)
    again = CrossEncoderPostprocessor.from_dict(postprocessor.to_dict())

    assert (again.model, again.top_n) == ("BAAI/bge-reranker-v2-m3", 3)
    assert CrossEncoderPostprocessor.from_json(postprocessor.to_json()).to_dict() == postprocessor.to_dict()
