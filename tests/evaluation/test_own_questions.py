"""A user's own questions: read from tables and lines, and held against a collection."""

import json

import pytest
from questions_support import PAGES, filled

from rag_plugins.errors import BadDocument, BadInput
from rag_plugins.evaluation import Question, Target, evaluate, judge, read_questions

CSV = """Question,Document,page,Answer
How tight are the screws?,pump.pdf,1,12 Nm
"When is the filter changed, in hours?",filter.pdf,,
What stops the display?,,,blown fuse
"""


@pytest.fixture
def index(tmp_path):
    with filled(tmp_path / "manuals.db") as index:
        yield index


def test_a_table_is_read_as_it_is_written(tmp_path):
    (tmp_path / "asked.csv").write_text("\ufeff" + CSV, encoding="utf-8")
    tight, changed, stops = read_questions(tmp_path / "asked.csv")
    assert tight == Question(
        "How tight are the screws?", "How tight are the screws?", (Target("pump.pdf", 1),), ("12 Nm",)
    )
    assert (changed.text, changed.targets) == (
        "When is the filter changed, in hours?",
        (Target("filter.pdf"),),
    )
    assert (stops.targets, stops.answers) == ((), ("blown fuse",))


def test_lines_of_one_question_count_together(tmp_path):
    lines = [
        {"id": "q1", "query": "pump?", "doc_id": "a", "relevance": 2},
        {"id": "q1", "query": "pump?", "doc_id": "b", "answers": ["one", "two"]},
        {"question": "no id", "passage": "p1"},
    ]
    (tmp_path / "asked.jsonl").write_text("\n".join(map(json.dumps, lines)))
    first, second = read_questions(tmp_path / "asked.jsonl")
    assert first == Question("q1", "pump?", (Target("a", grade=2), Target("b")), ("one", "two"))
    assert second == Question("no id", "no id", (Target(passage="p1"),))


def test_tabs_separate_a_tsv(tmp_path):
    (tmp_path / "asked.tsv").write_text("question\tanswer\nWhen, and how?\tat noon, by hand\n")
    assert read_questions(tmp_path / "asked.tsv") == [
        Question("When, and how?", "When, and how?", (), ("at noon, by hand",))
    ]


def test_a_folder_gives_its_judged_queries(tmp_path):
    (tmp_path / "queries.jsonl").write_text(
        '{"_id": "q1", "text": "pump?", "answers": ["12 Nm"]}\n{"_id": "q2", "text": "unjudged"}\n'
    )
    (tmp_path / "qrels.tsv").write_text("q1\tpump.pdf\t1\nq1\tnotes.txt\t0\n")
    assert read_questions(tmp_path) == [
        Question("q1", "pump?", (Target("pump.pdf"), Target("notes.txt", grade=0)), ("12 Nm",))
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "question,document\n,pump.pdf\n", "line 2: expected a question, by the name question"),
        ("a.csv", "question,document\nWhat?,\n", "line 2: expected what answers the question"),
        ("a.csv", "question,page\nWhat?,3\n", "line 2: a page needs its document"),
        ("a.csv", "question,document,page\nWhat?,a,two\n", "line 2: expected whole numbers"),
        ("a.csv", "question,document\nWhat?,a,b\n", "line 2 has more fields than the head line"),
        ("a.csv", 'question,document\n"What?,a\n', "line 1: unexpected end of data"),
        ("a.csv", "id,question,answer\n1,One?,a\n1,Two?,b\n", "line 3: '1' is another question already"),
        ("a.jsonl", '{"question": ["x"], "answer": "a"}\n', "line 1: expected a question"),
        ("a.jsonl", "[]\n", "line 1"),
        ("a.csv", "question,answer\n", "there are no questions in it"),
    ],
)
def test_a_broken_file_says_where(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(BadDocument, match=message):
        read_questions(tmp_path / name)


def test_another_kind_of_file_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"expected questions as \.csv, \.tsv or \.jsonl"):
        read_questions(tmp_path / "asked.xlsx")


def test_documents_pages_passages_and_answers_are_looked_up(index):
    ids = {passage.caller_id: passage.id for passage in index.find()}
    judged = judge(
        index,
        [
            Question("page", "screws?", (Target("pump.pdf", 1),)),
            Question("document", "pump?", (Target("manuals/pump.pdf"),)),
            Question("passage", "fuse?", (Target(passage="notes.txt None"),)),
            Question("answer", "where?", (), ("at the STORE",)),
        ],
    )
    assert judged.qrels == {
        "page": {"manuals/pump.pdf#page=1": 1},
        "document": {"manuals/pump.pdf": 1},
        "passage": {ids["notes.txt None"]: 1},
        "answer": {ids["manuals/pump.pdf 2"]: 1, ids["manuals/filter.pdf 1"]: 1},
    }
    assert judged.answers == {"answer": ("at the STORE",)}
    ranking = [(ids["manuals/pump.pdf 2"], 3.0), (ids["manuals/pump.pdf 1"], 2.0)]
    assert judged.scores("document", ranking) == {"manuals/pump.pdf": 3.0}
    assert judged.scores("page", ranking) == {"manuals/pump.pdf#page=2": 3.0, "manuals/pump.pdf#page=1": 2.0}
    assert judged.scores("answer", ranking) == dict(ranking)


def test_an_answer_stands_there_word_by_word(index):
    judged = judge(index, [Question("part", "?", (), ("2 Nm",)), Question("whole", "?", (), ("12 nm",))])
    assert judged.unheard == ("part",) and list(judged.qrels) == ["whole"]


@pytest.mark.parametrize(
    ("target", "why"),
    [
        (
            Target("pum.pdf"),
            r"document 'pum\.pdf' is not in the collection; the nearest name is 'manuals/pump",
        ),
        (Target("pump.pdf", 7), "has no page 7 with text"),
        (Target(passage="nobody"), "passage 'nobody' is not in the collection"),
    ],
)
def test_what_is_not_there_is_told_and_left_out(index, target, why):
    there = Question("there", "pump?", (Target("pump.pdf"),))
    judged = judge(index, [Question("gone", "?", (target,)), there])
    assert list(judged.qrels) == ["there"]
    assert list(judged.absent) == ["gone"]
    with pytest.raises(BadInput, match=why):
        judge(index, [Question("gone", "?", (target,))])


def test_an_ending_that_several_have_is_asked_back(index):
    index.add([index.passage("Another pump.", doc_id="old/pump.pdf")])
    with pytest.raises(BadInput, match=r"'pump\.pdf' may be 'manuals/pump\.pdf', 'old/pump\.pdf': give more"):
        judge(index, [Question("q", "?", (Target("pump.pdf"),))])


def test_one_question_asks_for_one_sort_of_thing(index):
    mixed = Question("q", "?", (Target("pump.pdf"), Target("pump.pdf", 1)))
    with pytest.raises(BadInput, match="question 'q' names a document and a page"):
        judge(index, [mixed])


def test_own_questions_are_measured(index, tmp_path):
    (tmp_path / "asked.csv").write_text(CSV)
    result = evaluate(index, judge(index, read_questions(tmp_path / "asked.csv")))
    assert result.queries == 3 and result.passages == len(PAGES)
    assert result.stages.fused["MRR@10"] == 1.0
    assert result.to_json()["queries_from"] == "labels"


def test_nothing_to_measure_is_refused(index):
    with pytest.raises(BadInput, match="nothing to measure"):
        evaluate(index, judge(index, [Question("q", "?", (), ("never said",))]))
