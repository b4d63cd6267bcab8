from copy import deepcopy

import pytest
from faces_support import WordOverlap, tiny_cross_encoder, watched
from langchain_core.documents import Document

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


def test_equal_scores_keep_their_order_and_none_is_no_error():
    compressor = CrossEncoderCompressor(WordOverlap(), top_n=9)

    assert [found.id for found in compressor.compress_documents(FOREIGN, "zeppelin")] == list("1234")
    assert compressor.compress_documents([], "zeppelin") == []


def test_top_n_below_one_is_refused():
    with pytest.raises(ValueError, match="top_n"):
        CrossEncoderCompressor(WordOverlap(), top_n=0)


def test_found_documents_are_read_by_their_view(index):
    found = HybridRetriever(index).invoke("lamp interval")
    best = CrossEncoderCompressor(WordOverlap(), top_n=1).compress_documents(found, "maintenance interval")

    assert [document.id for document in best] == ["filter"]
    assert (
        best[0].metadata["rag_plugins"] == next(f for f in found if f.id == "filter").metadata["rag_plugins"]
    )


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
