import json
import math

import pytest

from rag_plugins.config import Config
from rag_plugins.errors import BadDocument, BadInput
from rag_plugins.evaluation import evaluate_folder, measure
from rag_plugins.evaluation.beir import read_folder
from rag_plugins.evaluation.funnels import funnel_use
from rag_plugins.funnel import Funnel, Prefixes
from rag_plugins.search.outcome import Outcome

CORPUS = {
    "pump": ("Pump", "The coolant pump is bolted to the frame."),
    "filter": ("Filter", "Change the dust filter every 500 hours."),
    "fuse": ("", "A blown fuse stops the display."),
}
QUERIES = {"q1": "dust filter hours", "q2": "blown fuse", "q3": "no relevant document"}
QRELS = "query-id\tcorpus-id\tscore\nq1\tfilter\t1\nq2\tfuse\t1\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "corpus.jsonl").write_text(
        "".join(json.dumps({"_id": i, "title": t, "text": x}) + "\n" for i, (t, x) in CORPUS.items())
    )
    (tmp_path / "queries.jsonl").write_text(
        "".join(json.dumps({"_id": i, "text": x}) + "\n" for i, x in QUERIES.items())
    )
    (tmp_path / "qrels.tsv").write_text(QRELS)
    return tmp_path


def test_reading_joins_title_and_text_and_keeps_judged_queries(folder):
    tests = read_folder(folder)
    assert tests.corpus["pump"] == "Pump\nThe coolant pump is bolted to the frame."
    assert tests.corpus["fuse"] == "A blown fuse stops the display."
    assert tests.qrels == {"q1": {"filter": 1}, "q2": {"fuse": 1}}
    assert set(tests.sample(None).queries) == {"q1", "q2"}
    assert len(tests.sample(1).queries) == 1 and tests.sample(1) == tests.sample(1)


def test_qrels_without_a_head_line(folder):
    (folder / "qrels.tsv").write_text("q1\tfilter\t2\n")
    assert read_folder(folder).qrels == {"q1": {"filter": 2}}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("corpus.jsonl", "{", r"corpus\.jsonl: line 1 is not JSON"),
        ("corpus.jsonl", '{"_id": "a"}', "line 1 lacks text"),
        ("queries.jsonl", "[1]", "line 1 lacks _id, text"),
        ("qrels.tsv", "q1 filter 1", "by tabs"),
        ("qrels.tsv", "q1\tfilter\tyes", "whole score"),
    ],
)
def test_a_broken_folder_says_where(folder, name, content, message):
    (folder / name).write_text(content)
    with pytest.raises(BadDocument, match=message):
        read_folder(folder)


def test_an_absent_folder_is_a_bad_document(tmp_path):
    with pytest.raises(BadDocument, match=r"corpus\.jsonl"):
        read_folder(tmp_path / "absent")


def test_measures_equal_their_definitions():
    qrels = {"q1": {"a": 1}, "q2": {"b": 1}, "q3": {"c": 1}}
    run = {"q1": {"a": 3.0, "x": 2.0}, "q2": {"x": 3.0, "y": 2.0, "b": 1.0}}
    measured = measure(run, qrels)
    assert measured["nDCG@10"] == pytest.approx((1 + 1 / math.log2(4) + 0) / 3)
    assert measured["MRR@10"] == pytest.approx((1 + 1 / 3 + 0) / 3)
    assert measured["Recall@10"] == measured["Recall@100"] == pytest.approx(2 / 3)


def test_every_stage_is_measured(folder):
    result = evaluate_folder(folder, Config.preset("lexical"))
    stages = result.stages
    assert stages.legs == {"bm25": stages.fused}
    assert stages.fused["nDCG@10"] == 1.0 and stages.reranked is None
    assert (result.funnels, result.funnel_off) == ({}, None)
    assert (result.queries, result.passages) == (2, 3)
    assert set(result.ms_per_query) >= {"bm25", "fusion", "total"}
    flat = json.loads(json.dumps(result.to_json()))
    assert flat["legs"]["bm25"]["MRR@10"] == 1.0 and flat["reranked"] is None


def test_the_local_preset_measures_both_legs_and_the_reranker(folder):
    result = evaluate_folder(folder, Config.preset("local"), queries=1)
    assert set(result.stages.legs) == {"dense", "bm25"} and result.queries == 1
    assert result.stages.reranked is not None and result.stages.reranked["nDCG@10"] == 1.0
    assert (result.funnels, result.funnel_off) == ({"dense": None}, None)  # Too few passages for one.
    assert {"fetch", "rerank"} <= set(result.ms_per_query)


def test_chunked_lines_count_once_with_their_best_passage(folder):
    filler = "Nothing of note happens in this sentence. " * 30
    (folder / "corpus.jsonl").write_text(
        json.dumps({"_id": "filter", "text": filler + "Change the dust filter every 500 hours. " + filler})
        + "\n"
        + json.dumps({"_id": "fuse", "text": "A blown fuse stops the display."})
    )
    result = evaluate_folder(folder, Config.preset("lexical"), chunked=True)
    assert result.passages > 2 and result.stages.fused["nDCG@10"] == 1.0


def test_a_set_without_judged_queries_is_refused(folder):
    (folder / "qrels.tsv").write_text("")
    with pytest.raises(BadInput, match="no query has a relevant document"):
        evaluate_folder(folder, Config.preset("lexical"))


def outcome(ranking, seconds):
    return Outcome("minmax", rankings={"dense": ranking}, seconds={"dense": seconds})


def test_a_funnel_is_judged_by_the_exact_searchs_best_ten():
    exact = [(f"p{n:02}", 1.0 - n / 20) for n in range(12)]
    tied = [(id, max(score, 0.55)) for id, score in exact]  # p10 and p11 are as good as the tenth.
    missing = [pair for pair in exact if pair[0] not in ("p03", "p07")]
    prefixes = Prefixes(Funnel([(8, 20), (16,)]))
    on = [outcome(missing, 0.001), outcome(tied[:9] + [("p11", 0.55)], 0.002), outcome((), 0.003)]
    off = [outcome(exact, 0.010), outcome(tied, 0.020), outcome((), 0.030)]
    use = funnel_use("dense", prefixes, on, off)
    assert use.recall == pytest.approx((0.8 + 1.0 + 1.0) / 3)
    assert (use.ms, use.ms_off) == (2.0, 20.0)
    assert use.to_json() == {
        "stages": [[8, 20], [16]],
        "rotated": False,
        "recall": 0.9333,
        "ms": 2.0,
        "ms_off": 20.0,
    }


def test_from_500_passages_on_searches_are_shown_with_the_funnel_off_too(folder):
    parts = ("pump", "filter", "valve", "belt", "sensor", "display", "hinge", "switch", "motor", "lamp")
    texts = {f"d{n}": f"The {part} number {n} is in cabinet {n % 7}." for n, part in enumerate(parts * 52)}
    (folder / "corpus.jsonl").write_text(
        "".join(json.dumps({"_id": id, "text": text}) + "\n" for id, text in texts.items())
    )
    (folder / "queries.jsonl").write_text(
        "".join(json.dumps({"_id": f"q{n}", "text": f"cabinet of {parts[n]} {n}"}) + "\n" for n in range(4))
    )
    (folder / "qrels.tsv").write_text("".join(f"q{n}\td{n}\t1\n" for n in range(4)))
    result = evaluate_folder(folder, Config())
    use, off = result.funnels["dense"], result.funnel_off
    assert use is not None and use.prefixes.rotation is not None and use.recall >= 0.9
    assert off is not None and set(off.legs) == {"dense"} and off.reranked is not None
    assert off.legs["dense"]["Recall@10"] == pytest.approx(result.stages.legs["dense"]["Recall@10"], abs=0.25)
    assert use.ms > 0 and use.ms_off > 0
    printed = json.loads(json.dumps(result.to_json()))
    assert printed["funnels"]["dense"]["stages"][-1] == [384]
    assert set(printed["funnel_off"]) == {"legs", "funnel_stages", "fused", "reranked", "rerank_stages"}
    narrow = printed["funnel_stages"]
    *pruning, _ = printed["funnels"]["dense"]["stages"]
    assert list(narrow) == [f"dense, first {width}" for width, _ in pruning]
    assert all(0.0 < values["Recall@100"] <= 1.0 for values in narrow.values())
