"""Evaluations kept in a folder, read again, and compared."""

import json
import math
from dataclasses import replace

import ir_measures
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from questions_support import filled

from rag_plugins.errors import BadDocument, BadInput
from rag_plugins.evaluation import Question, Record, Target, compare, evaluate, judge, measure
from rag_plugins.evaluation.comparing import paired
from rag_plugins.evaluation.measures import MEASURES, measure_each, named
from rag_plugins.evaluation.records import read_qrels, read_run
from rag_plugins.evaluation.stages import Stage, Stages

QUESTIONS = [
    Question("q 1", "How tight are the screws of the pump?", (Target("pump.pdf"),)),
    Question("q%2", "When is the dust filter changed?", (Target("filter.pdf"),)),
    Question("q3", "Which store?", (Target("notes.txt"),)),
]


@pytest.fixture
def record(tmp_path):
    with filled(tmp_path / "manuals.db") as index:
        return Record.of("first", evaluate(index, judge(index, QUESTIONS)), index)


def worse(record, query):
    """The same with nothing found for one query."""
    stages = tuple(
        Stage.of(s.name, s.kind, {**s.run, query: {}}, record.qrels, record.measures)
        for s in record.stages.all
    )
    return replace(record, name="second", stages=Stages(stages))


def test_what_is_saved_is_read_again(record, tmp_path):
    folder = record.save(tmp_path / "runs" / "first")
    again = Record.load(folder)
    assert (again.name, again.date, again.queries, again.qrels) == (
        "first",
        record.date,
        record.queries,
        record.qrels,
    )
    assert again.measures == record.measures == MEASURES
    assert [(s.name, s.kind, s.run, s.each) for s in again.stages.all] == [
        (s.name, s.kind, s.run, s.each) for s in record.stages.all
    ]
    assert again.texts == record.texts and again.about == record.about
    assert again.texts["manuals/pump.pdf"].place == "manuals/pump.pdf, page 1"
    assert again.about["config"]["legs"] == [{}] and "notes.txt" in again.texts
    record.save(folder)  # Over the old one.
    assert Record.load(folder).date == record.date


def test_other_tools_read_the_files(record, tmp_path):
    folder = record.save(tmp_path / "first")
    run = list(ir_measures.read_trec_run(str(folder / "runs" / "2-fused.trec")))
    qrels = list(ir_measures.read_trec_qrels(str(folder / "qrels.trec")))
    assert {each.query_id for each in qrels} == {"q%201", "q%252", "q3"}
    theirs = ir_measures.calc_aggregate([ir_measures.nDCG @ 10, ir_measures.AP @ 100], qrels, run)
    mine = record.stages.fused
    assert theirs[ir_measures.nDCG @ 10] == pytest.approx(mine["nDCG@10"], abs=1e-12)
    assert theirs[ir_measures.AP @ 100] == pytest.approx(mine["MAP@100"], abs=1e-12)


def test_measures_of_a_run_made_elsewhere_are_those_of_ir_measures(tmp_path):
    (tmp_path / "run.trec").write_text(
        "".join(
            f"q{q} Q0 d{(q * 7 + n * 3) % 40} {n + 1} {100 - n} other\n" for q in range(20) for n in range(30)
        )
    )
    (tmp_path / "qrels.trec").write_text(
        "".join(f"q{q} 0 d{(q + n * 5) % 40} {n % 3}\n" for q in range(22) for n in range(6))
    )
    theirs = ir_measures.calc_aggregate(
        [getattr(ir_measures, kind) @ cutoff for kind, cutoff in MEASURES.values()],
        ir_measures.read_trec_qrels(str(tmp_path / "qrels.trec")),
        ir_measures.read_trec_run(str(tmp_path / "run.trec")),
    )
    mine = measure(read_run(tmp_path / "run.trec"), read_qrels(tmp_path / "qrels.trec"))
    assert {str(name): value for name, value in theirs.items()} == {
        f"{kind}@{cutoff}": pytest.approx(mine[name], abs=1e-12) for name, (kind, cutoff) in MEASURES.items()
    }


def test_a_folder_with_other_files_is_not_touched(record, tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(BadInput, match="has files that are no saved evaluation"):
        record.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".txt"] == ["mine.txt"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("evaluation.json", "{}", "no evaluation that this version can read"),
        ("evaluation.json", "[1]", "no evaluation that this version can read"),
        ("evaluation.json", '{"format": 99}', "no evaluation that this version can read"),
        ("runs/2-fused.trec", "q1 Q0 d1 1\n", "line 1 is no line of a TREC run"),
        ("qrels.trec", "q1 0 d1 high\n", "line 1 is no line of TREC qrels"),
        ("texts.jsonl", '{"_id": "a"}\n', "line 1 lacks place, text"),
    ],
)
def test_a_damaged_folder_says_where(record, tmp_path, name, content, message):
    folder = record.save(tmp_path / "first")
    (folder / name).write_text(content)
    with pytest.raises(BadDocument, match=message):
        Record.load(folder)


def test_no_folder_is_a_bad_document(tmp_path):
    with pytest.raises(BadDocument, match=r"evaluation\.json"):
        Record.load(tmp_path / "absent")


def test_a_comparison_says_which_queries_changed(record):
    compared = compare(record, worse(record, "q 1"))
    assert (compared.before, compared.after, compared.left_out) == ("first: fused", "second: fused", 0)
    assert [change.query for change in compared.worse] == ["q 1"] and compared.better == ()
    (change,) = compared.worse
    assert change.before == 1.0 and change.after == 0.0 and change.found_after == ()
    assert change.found_before[0] == "manuals/pump.pdf"
    found = compared.differences["nDCG@10"]
    assert (found.better, found.worse, found.same) == (0, 1, 2)
    assert found.gain == pytest.approx(-1 / 3)
    back = compare(worse(record, "q 1"), record)
    assert [each.query for each in back.better] == ["q 1"]
    flat = json.loads(json.dumps(compared.to_json()))
    assert flat["worse"][0]["query"] == "q 1" and flat["measures"]["nDCG@10"]["p"] == pytest.approx(found.p)


def test_queries_that_are_judged_otherwise_are_left_out(record):
    other = replace(record, qrels={**record.qrels, "q3": {"manuals/pump.pdf": 1}, "q4": {"notes.txt": 1}})
    compared = compare(record, other)
    assert len(compared.changes) == 2 and compared.left_out == 2


def test_other_questions_and_unknown_stages_are_refused(record):
    with pytest.raises(BadInput, match="no query in common"):
        compare(record, replace(record, qrels={"other": {"d": 1}}))
    with pytest.raises(BadInput, match="first has no stage 'dense'; it has: bm25, fused"):
        compare(record, record, "dense")


def test_the_test_is_scipys():
    before = [0.1, 0.5, 0.9, 0.3, 0.2, 0.8, 0.4]
    after = [0.3, 0.4, 1.0, 0.6, 0.2, 0.9, 0.7]
    theirs = scipy.stats.ttest_rel(after, before)
    mine = paired(before, after)
    assert mine.p == pytest.approx(theirs.pvalue, abs=1e-15)
    low, high = theirs.confidence_interval(0.95)
    assert (mine.low, mine.high) == pytest.approx((low, high), abs=1e-15)
    assert (mine.better, mine.worse, mine.same) == (5, 1, 1)
    assert mine.significant == (theirs.pvalue < 0.05)


def test_without_spread_there_is_nothing_to_test():
    assert paired([0.5, 0.5], [0.5, 0.5]).p == 1.0
    assert paired([0.1, 0.2], [0.3, 0.4]).p == pytest.approx(0.0, abs=1e-10)
    alone = paired([0.5], [0.7])
    assert math.isnan(alone.p) and not alone.significant and alone.to_json()["p"] is None


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=30))
def test_turned_round_a_difference_is_its_opposite(pairs):
    before, after = zip(*pairs, strict=True)
    there, back = paired(before, after), paired(after, before)
    assert there.gain == -back.gain and there.p == pytest.approx(back.p, nan_ok=True)
    assert (there.better, there.worse) == (back.worse, back.better)
    assert there.low == pytest.approx(-back.high, abs=1e-9)


def test_measures_by_name():
    assert named(["ndcg@5", "MRR@3", "success@1"]) == {
        "nDCG@5": ("nDCG", 5),
        "MRR@3": ("RR", 3),
        "Success@1": ("Success", 1),
    }
    qrels, run = {"q": {"a": 1, "b": 1}}, {"q": {"x": 2.0, "a": 1.0}}
    each = measure_each(run, qrels, named(["Success@1", "Success@2", "Precision@2"]))
    assert [each[name]["q"] for name in each] == [0.0, 1.0, 0.5]


@pytest.mark.parametrize("name", ["nDCG", "nDCG@0", "nDCG@1000", "BLEU@4", "nDCG@ten", ""])
def test_unknown_measures_are_refused(name):
    with pytest.raises(BadInput, match="expected one of nDCG, MRR, MAP"):
        named([name])
