"""Several queries as one search, on a Lite file and on a server."""

from functools import partial

import pytest
from faces_support import WordOverlap

from rag_plugins import Config, RagIndex, where
from rag_plugins.config import Bm25Leg, CrossEncoderConfig, DenseLeg
from rag_plugins.errors import BadInput
from rag_plugins.lexical.rules import parse_query
from rag_plugins.models.dense import DenseEncoder

TEXTS = {
    "pump": "The coolant pump is bolted to the frame.",
    "filter": "Change the dust filter every 500 hours.",
    "strainer": "Clean inlet strainer with water.",
    "fuse": "A blown fuse stops the display.",
}


@pytest.fixture
def reopen(milvus_uri, collection):
    """Opens the one collection of this test."""
    return partial(RagIndex.open, milvus_uri, collection=collection)


@pytest.fixture
def index(reopen):
    with reopen(preset="lexical") as index:
        yield fill(index)


def fill(index):
    index.add(
        index.passage(text, caller_id=name, metadata={"part": number})
        for number, (name, text) in enumerate(TEXTS.items())
    )
    return index


def named(hits):
    return [hit.passage.caller_id for hit in hits]


def test_what_any_of_them_finds_is_found_and_the_trace_says_by_which(index):
    hits = index.search_many(["dust filter", "inlet strainer", "zeppelin"])
    assert set(named(hits)) == {"filter", "strainer"}
    by_query = {hit.passage.caller_id: [(stage.kind, stage.query) for stage in hit.trace] for hit in hits}
    assert by_query == {
        "filter": [("leg", "dust filter"), ("fusion", "dust filter"), ("queries", None)],
        "strainer": [("leg", "inlet strainer"), ("fusion", "inlet strainer"), ("queries", None)],
    }
    assert [hit.score for hit in hits] == [hit.trace[-1].score for hit in hits] == [0.5, 0.5]


def test_weights_say_whose_hits_come_first(index):
    queries = ["dust filter", "inlet strainer"]
    assert named(index.search_many(queries, weights=[2, 1])) == ["filter", "strainer"]
    assert named(index.search_many(queries, weights=[1, 2])) == ["strainer", "filter"]
    assert named(index.search_many(queries, weights=[0, 1])) == ["strainer"]
    with pytest.raises(BadInput, match="one a query"):
        index.search_many(queries, weights=[1])


@pytest.mark.parametrize("query", ["dust pump", parse_query('"dust filter" pum*')])
@pytest.mark.parametrize("others", [[], [""], ["same"]])
def test_one_query_is_a_search(index, query, others):
    others = [query if other == "same" else other for other in others]
    assert index.search_many([query, *others], explain=True) == index.search(query, explain=True)


def test_blank_queries_find_nothing_and_none_is_refused(index):
    assert index.search_many(["", parse_query("  ")]) == [] == index.search(parse_query(""))
    with pytest.raises(BadInput, match="expected a list of queries"):
        index.search_many([])
    with pytest.raises(BadInput, match="expected a list of queries"):
        index.search_many("dust")


def test_filter_k_and_legs_hold_for_all_of_them(index):
    queries = ["dust filter", "coolant pump", "blown fuse"]
    assert named(index.search_many(queries, filter=where("part") == 0)) == ["pump"]
    assert len(index.search_many(queries, k=2)) == 2
    with pytest.raises(BadInput, match="unknown legs"):
        index.search_many(queries, legs=["dense"])
    with pytest.raises(BadInput, match="k is 0"):
        index.search_many(queries, k=0)


def test_each_notice_once_and_the_terms_of_each_query(index):
    hits = index.search_many(
        [parse_query(text) for text in ("dust zep*", "filt* zep*", "blown")], explain=True
    )
    assert len(hits.notices) == len(set(hits.notices)) == 1 and "zep*" in hits.notices[0]
    [found] = [hit for hit in hits if hit.passage.caller_id == "filter"]
    assert [(match.query, match.term, match.rule) for match in found.terms["bm25"]] == [
        ("dust zep*", "dust", None),
        ("filt* zep*", "filter", "filt*"),
    ]
    for stage in found.trace:
        if stage.kind == "leg":
            matched = sum(match.score for match in found.terms["bm25"] if match.query == stage.query)
            assert matched == pytest.approx(stage.score, rel=1e-6)


def test_all_are_reranked_once_for_the_question(reopen, monkeypatch):
    asked, score = [], WordOverlap.score

    def seen(self, query, candidates):
        asked.append((query, len(candidates)))
        return score(self, query, candidates)

    monkeypatch.setattr("rag_plugins.wiring.make_reranker", lambda *_: WordOverlap())
    monkeypatch.setattr(WordOverlap, "score", seen)
    config = Config(legs=(Bm25Leg(),), rerank=(CrossEncoderConfig(),))
    with reopen(config=config) as index:
        hits = fill(index).search_many(
            ["", "inlet strainer", "dust filter", "coolant pump"], weights=[1, 1, 9, 9]
        )
    assert asked == [("inlet strainer", 3)]
    assert named(hits)[0] == "strainer" and hits[0].trace[-1].kind == "rerank"


def test_dense_legs_encode_all_queries_in_one_pass(reopen, monkeypatch):
    passes, encode = [], DenseEncoder.encode_queries

    def counted(self, queries, *want):
        passes.append(list(queries))
        return encode(self, queries, *want)

    monkeypatch.setattr(DenseEncoder, "encode_queries", counted)
    with reopen(config=Config(legs=(DenseLeg(), Bm25Leg()), rerank=())) as index:
        fill(index)
        hits = index.search_many(["dust filter", "where is the water cleaned?"], k=2)
    assert passes == [["dust filter", "where is the water cleaned?"]]
    assert set(named(hits)) == {"filter", "strainer"}
    assert {stage.stage for stage in hits[0].trace} == {"dense", "bm25", "minmax"}
