"""What the commands print of stages: of one hit, and of a measured set. 80 columns must do."""

import pytest

from rag_plugins.evaluation import Evaluation, Judged, Stage, Stages
from rag_plugins.evaluation.measures import MEASURES
from rag_plugins.show import hit_json, show_evaluation, show_hits
from rag_plugins.types import EmbedText, Hit, Hits, Passage, StageScore, TermMatch

TRACE = (
    StageScore("bm25", "leg", 2, 3.5, 1.0, 0.5),
    StageScore("minmax", "fusion", 2, 0.5),
    StageScore("cheap", "rerank", 1, 0.8, 0.5, 0.25),
    StageScore("dear", "rerank", 1, 4.5, 1.0, 1.0, 0.989, 480, 1200, 1),
)


@pytest.fixture
def printed(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    return lambda: capsys.readouterr().out


def test_a_hit_line_has_every_stages_score_and_how_much_was_read(printed):
    passage = Passage("0" * 64, "doc", (EmbedText("text"),), "text")
    show_hits(Hits([Hit(passage, 1.0, TRACE)], ["1 score was odd"]))
    shown = printed()
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert (
        " ".join(shown.splitlines()[-3:-1])
        .replace("  ", " ")
        .startswith(
            "bm25 #2 3.500 (weight 1, +0.500) · minmax #2 0.500 · cheap #1 0.800 (+0.250) · "
            "dear #1 4.500 (+1.000), probability 0.989, read 480 of 1200 tokens"
        )
    )
    assert shown.splitlines()[-1] == "1 score was odd"


def test_what_several_queries_found_is_told_query_by_query(printed):
    trace = (
        StageScore("bm25", "leg", 2, 3.5, 1.0, 0.5, query="dust filter"),
        StageScore("minmax", "fusion", 2, 0.5, 0.5, 0.25, query="dust filter"),
        StageScore("bm25", "leg", 1, 4.5, 1.0, 1.0, query='"strainer"'),
        StageScore("minmax", "fusion", 1, 1.0, 0.5, 0.5, query='"strainer"'),
        StageScore("minmax", "queries", 1, 0.75),
        StageScore("cheap", "rerank", 1, 0.8, 0.5, 0.25),
    )
    terms = {
        "bm25": (
            TermMatch("dust", 2.0, 0.5, query="dust filter"),
            TermMatch("strainer", 3.0, 0.5, rule='"strainer"', query='"strainer"'),
        )
    }
    passage = Passage("0" * 64, "doc", (EmbedText("text"),), "text")
    show_hits(Hits([Hit(passage, 1.0, trace, terms)]))
    shown = printed()
    lines = [line.strip() for line in shown.splitlines()]
    assert lines[4:7] == [
        "dust filter: bm25 #2 3.500 (weight 1, +0.500) · minmax #2 0.500 (+0.250)",
        '"strainer": bm25 #1 4.500 (weight 1, +1.000) · minmax #1 1.000 (+0.500)',
        "minmax of the queries #1 0.750 · cheap #1 0.800 (+0.250)",
    ]
    assert "bm25, dust filter: terms that match" in shown and 'bm25, "strainer": terms that match' in shown


def test_no_hits_are_told_with_the_reason(printed):
    show_hits(Hits([], ["nothing relevant here: the best of 4 passages scores 0.2, min_score is 0.5"]))
    assert printed().splitlines() == [
        "nothing relevant here: the best of 4 passages scores 0.2, min_score is 0.5",
        "Nothing was found.",
    ]


def test_every_rerank_stage_has_its_line_in_80_columns(printed):
    values = dict.fromkeys(MEASURES, 0.5)
    each = {measure: {"q": value} for measure, value in values.items()}
    names = ("late-interaction", "cross-encoder/ms-marco-MiniLM-L-6-v2")
    kinds = {"dense": "leg", "fused": "fusion", **dict.fromkeys(names, "rerank")}
    stages = Stages(tuple(Stage(name, kind, {}, each) for name, kind in kinds.items()))
    assert stages.reranked == values and list(stages.to_json()["rerank_stages"]) == list(names)
    judged = Judged({"q": "?"}, {"q": {"d": 1}}, {"q": "document"}, {"document": {}})
    times = {"fetch": 1.0, "total": 2.0}
    show_evaluation(Evaluation(judged, MEASURES, stages, {}, {"dense": None}, stages, 20, times, times))
    lines = printed().splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert sum(line.count("0.500") == 5 for line in lines) == 8
    whole = "".join(line[1:].split("│")[0].strip() for line in lines)
    assert all(name in whole for name in names)
    assert all(measure in "".join(lines) for measure in values)


def test_why_legs_weigh_what_they_do_is_told_once_for_all_hits(printed):
    trace = (
        StageScore("bm25", "leg", 1, 12.0, 1.0, 20.0, why="finds 0.97 alone"),
        StageScore("dense", "left out", 0, 0.0, 0.0, why="finds 0.18 alone"),
        StageScore("adaptive", "fusion", 1, 20.0),
    )
    passage = Passage("0" * 64, "doc", (EmbedText("text"),), "text")
    show_hits(Hits([Hit(passage, 20.0, trace)] * 2))
    lines = [line.strip() for line in printed().splitlines()]
    assert lines.count("bm25 #1 12.000 (weight 1, +20.000) · adaptive #1 20.000") == 2
    assert lines[-2:] == ["bm25 weighed: finds 0.97 alone", "dense left out: finds 0.18 alone"]


def test_a_leg_left_out_is_in_a_hits_json_with_the_reason():
    left_out = StageScore("dense", "left out", 0, 0.0, 0.0, why="finds 0.18 alone")
    hit = Hit(Passage("0" * 64, "doc", (EmbedText("text"),), "text"), 1.0, (*TRACE[:1], left_out))
    assert hit_json(hit)["trace"][1] == {
        "stage": "dense",
        "kind": "left out",
        "rank": 0,
        "score": 0.0,
        "weight": 0.0,
        "why": "finds 0.18 alone",
    }
