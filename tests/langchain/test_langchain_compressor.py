from copy import deepcopy

import pytest
from faces_support import WordOverlap, tiny_cross_encoder, watched
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_core.documents import Document
from langchain_core.prompts import PromptTemplate, format_document

from rag_plugins.config import DenseLeg
from rag_plugins.langchain import CrossEncoderCompressor, HybridRetriever
from rag_plugins.models.dense import DenseEncoder
from rag_plugins.models.rerank.late_interaction import LateInteractionReranker

FOREIGN = [
    Document(id="1", page_content="no match at all", metadata={"n": 1}),
    Document(id="2", page_content="unrelated", metadata={"retrieval_text": "red lamp tank"}),
    Document(id="3", page_content="red tank", metadata={"n": 3}),
    Document(id="4", page_content="red", metadata={"n": 4}),
]


def test_the_best_come_first_with_their_scores():
    before = deepcopy(FOREIGN)
    best = CrossEncoderCompressor(WordOverlap(), top_n=3).compress_documents(FOREIGN, "red lamp tank")

    assert [(found.id, found.metadata["relevance_score"]) for found in best] == [
        ("2", 3.0),
        ("3", 2.0),
        ("4", 1.0),
    ]
    assert best[1].page_content == "red tank"
    assert best[1].metadata["n"] == 3
    assert before == FOREIGN


def test_what_a_prompt_reads_is_the_same_after_reranking():
    [best] = CrossEncoderCompressor(WordOverlap(), top_n=1).compress_documents(FOREIGN, "red lamp tank")

    assert format_document(best, PromptTemplate.from_template("{page_content}")) == "unrelated"


def test_equal_scores_keep_their_order_and_none_is_no_error():
    compressor = CrossEncoderCompressor(WordOverlap(), top_n=9)

    assert [found.id for found in compressor.compress_documents(FOREIGN, "zeppelin")] == list("1234")
    assert compressor.compress_documents([], "zeppelin") == []


def test_found_documents_are_read_by_their_view_and_keep_their_trace(index):
    found = HybridRetriever(index).invoke("lamp interval")
    before = deepcopy(found)
    [best] = CrossEncoderCompressor(WordOverlap(), top_n=1).compress_documents(found, "maintenance interval")
    [hit] = [document for document in found if document.id == "filter"]
    was, now = hit.metadata["rag_plugins"], best.metadata["rag_plugins"]

    assert best.id == "filter"
    assert best.metadata["retrieval_score"] == was["score"]
    assert best.metadata["relevance_score"] == now["score"] == 2.0
    assert now["trace"] == [
        *was["trace"],
        {"stage": "word-overlap", "kind": "rerank", "rank": 1, "score": 2.0},
    ]
    assert now["passage_id"] == was["passage_id"]
    assert found == before


def test_behind_any_retriever_of_a_compression_retriever(index):
    """LangChain's own way to rerank."""
    retriever = ContextualCompressionRetriever(
        base_compressor=CrossEncoderCompressor(WordOverlap(), top_n=1, min_score=2),
        base_retriever=HybridRetriever(index),
    )

    assert [document.id for document in retriever.invoke("maintenance interval")] == ["filter"]
    assert retriever.invoke("lamp") == []
    assert retriever.invoke("zeppelin") == []


async def test_behind_any_retriever_asynchronously(index):
    retriever = ContextualCompressionRetriever(
        base_compressor=CrossEncoderCompressor(WordOverlap(seconds=0.4), top_n=1),
        base_retriever=HybridRetriever(index),
    )
    [best], stood_still = await watched(retriever.ainvoke("maintenance interval"))

    assert best.id == "filter"
    assert stood_still < 0.2


async def test_the_event_loop_runs_on_during_reranking():
    work = CrossEncoderCompressor(WordOverlap(seconds=0.4), top_n=1).acompress_documents(
        FOREIGN, "red lamp tank"
    )
    best, stood_still = await watched(work)

    assert [found.id for found in best] == ["2"]
    assert stood_still < 0.2


def test_late_interaction_reranks_foreign_documents():
    documents = [
        Document(page_content="Income must be declared by the end of May."),
        Document(page_content="A kitten sleeps on the sofa."),
    ]
    compressor = CrossEncoderCompressor(LateInteractionReranker(DenseEncoder(DenseLeg())), top_n=1)
    [best] = compressor.compress_documents(documents, "where does the cat sleep?")

    assert best.page_content == "A kitten sleeps on the sofa."


def test_a_model_by_name_is_a_cross_encoder(tmp_path):
    from sentence_transformers import CrossEncoder

    folder = tiny_cross_encoder(tmp_path, ["red", "lamp", "tank", "unrelated", "no", "match", "at", "all"])
    best = CrossEncoderCompressor(folder, top_n=4).compress_documents(FOREIGN, "red lamp")
    views = {"1": "no match at all", "2": "red lamp tank", "3": "red tank", "4": "red"}
    scores = CrossEncoder(folder, device="cpu").predict([("red lamp", view) for view in views.values()])
    expected = dict(zip(views, scores.tolist(), strict=True))

    assert [found.id for found in best] == sorted(expected, key=lambda id: -expected[id])
    for found in best:
        assert found.metadata["relevance_score"] == pytest.approx(expected[found.id], abs=1e-5)
