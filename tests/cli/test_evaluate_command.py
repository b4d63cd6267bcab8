"""`rag-plugins evaluate`: a folder, a collection with one's own questions, two evaluations side by side."""

import json

import pytest

from rag_plugins import RagIndex
from rag_plugins.config import Bm25Leg, Config

TEXTS = {
    "pump": "The coolant pump is bolted to the frame with four screws of 12 Nm.",
    "filter": "Change the dust filter every 500 hours. A new filter is at the store.",
    "fuse": "A blown fuse stops the display. The spare fuse is taped inside the door.",
    "lamp": "The red lamp means that the coolant tank is empty.",
}
ASKED = """question,document,answer
How tight are the screws of the pump?,pump,12 Nm
When is the dust filter changed?,filter,500 hours
What does the red lamp mean?,,tank is empty
Who built the machine?,,nobody knows
"""


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "corpus.jsonl").write_text(
        "".join(json.dumps({"_id": id, "title": "", "text": text}) + "\n" for id, text in TEXTS.items())
    )
    (folder / "queries.jsonl").write_text(
        '{"_id": "q1", "text": "screws of the pump", "answers": ["12 Nm"]}\n'
        '{"_id": "q2", "text": "blown fuse"}\n{"_id": "q3", "text": "the store"}\n'
    )
    (folder / "qrels.tsv").write_text("q1\tpump\t1\nq2\tfuse\t1\nq3\tlamp\t1\n")
    return folder


@pytest.fixture
def db(tmp_path):
    path = tmp_path / "manuals.db"
    with RagIndex.open(path, config=Config(legs=(Bm25Leg(),), rerank=())) as index:
        index.add([index.passage(text, doc_id=id, caller_id=id) for id, text in TEXTS.items()])
    return path


@pytest.fixture
def asked(tmp_path):
    path = tmp_path / "asked.csv"
    path.write_text(ASKED)
    return path


def test_a_folder_is_measured_saved_and_compared(shell, folder, tmp_path):
    first, second, page = tmp_path / "first", tmp_path / "second", tmp_path / "report.html"
    code, out, err = shell("evaluate", folder, "--preset", "lexical", "--save", first, "--json")
    assert code == 0, err
    value = json.loads(out.splitlines()[-1])
    assert value["queries"] == 3 and value["fused"]["nDCG@10"] == pytest.approx(2.5 / 3, abs=1e-3)
    assert value["containment"]["questions"] == 1 and "in the ten best hits" in out
    assert (first / "runs" / "2-fused.trec").exists() and f"The runs: {first}" in out
    code, out, err = shell(
        "evaluate", folder, "--preset", "lexical", "--save", second, "--baseline", first, "--report", page
    )
    assert code == 0, err
    assert "first: fused -> second: fused, 3 queries" in out and "paired t-test" in out
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    code, out, err = shell("evaluate", "--compare", first, second, "--json")
    assert code == 0, err
    value = json.loads(out.splitlines()[-1])
    assert value["queries"] == 3 and value["better"] == value["worse"] == []


def test_a_collection_is_measured_with_ones_own_questions(shell, db, asked):
    code, out, err = shell("evaluate", db, "--preset", "lexical", "--questions", asked, "--json")
    assert code == 0, err
    value = json.loads(out.splitlines()[-1])
    assert (value["queries"], value["queries_from"]) == (3, "labels")
    assert value["answer_in_no_passage"] == ["Who built the machine?"]
    assert value["containment"]["transcribed"] == 0.75
    assert "1 questions have an answer that stands in no passage; the first: Who built the machine?" in out


def test_a_collection_makes_questions_of_its_own(shell, db):
    arguments = ("evaluate", db, "--preset", "lexical", "--synthesize", 3, "--measure", "success@1", "--json")
    code, out, err = shell(*arguments)
    assert code == 0, err
    value = json.loads(out.splitlines()[-1])
    assert (value["queries"], value["queries_from"]) == (3, "known items")
    assert list(value["fused"]) == ["Success@1"] and "Made queries compare settings" in out


def test_an_llm_of_the_users_makes_questions(shell, db, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_llm_for_questions.py").write_text(
        "def make():\n    return lambda prompt, images: 'What about the ' + prompt.split()[-3] + '?'\n"
    )
    llm = "my_llm_for_questions:make"
    code, out, err = shell("evaluate", db, "--preset", "lexical", "--synthesize", 2, "--llm", llm, "--json")
    assert code == 0, err
    assert json.loads(out.splitlines()[-1])["queries_from"] == "LLM"


def test_questions_are_drawn(shell, db, asked):
    arguments = ("evaluate", db, "--preset", "lexical", "--questions", asked, "--queries", 2, "--json")
    code, out, err = shell(*arguments)
    assert code == 0, err
    assert json.loads(out.splitlines()[-1])["queries"] == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "what is to be measured?"),
        (("{db}",), "--questions FILE or with --synthesize N"),
        (("{db}", "--questions", "{asked}", "--synthesize", "3"), "--questions FILE or with --synthesize N"),
        (("{db}", "--questions", "{asked}", "--chunk"), "--chunk: only with a folder"),
        (("{folder}", "--questions", "{asked}"), "--questions: a folder in BEIR's format has questions"),
        (("{folder}", "--compare", "a", "b"), "TARGET: not with --compare"),
        (("{folder}", "--stage", "fused"), "--stage: only with --compare or --baseline"),
        (("{folder}", "--llm", "a:b"), "--llm: only with --synthesize or --ocr-ceiling"),
        (("{folder}", "--noise", "5"), "--noise: only with --ocr-ceiling"),
        (("{folder}", "--ocr-ceiling", "--chunk"), "--chunk: not with --ocr-ceiling"),
        (("{folder}", "--ocr-ceiling", "--llm", "a:b"), "--llm and --answer-from go together"),
        (("{folder}", "--measure", "BLEU@4"), "measure 'BLEU@4': expected one of nDCG"),
        (("{folder}", "--baseline", "absent"), "evaluation.json"),
        (("absent.db", "--synthesize", "3"), "there is no absent.db"),
    ],
)
def test_what_does_not_go_together_is_refused(shell, db, folder, asked, options, said):
    names = {"db": db, "folder": folder, "asked": asked}
    code, out, err = shell("evaluate", *(option.format(**names) for option in options))
    assert code != 0 and said in " ".join((out + err).replace("│", " ").split())
