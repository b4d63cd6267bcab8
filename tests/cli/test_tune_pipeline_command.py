"""`rag-plugins tune` of a whole pipeline: by a collection's own judged queries, and on a folder."""

import json

import pytest

from rag_plugins import Config, RagIndex
from rag_plugins.config import Bm25Leg, DenseLeg
from rag_plugins.evaluation.texts import manual_texts
from rag_plugins.evaluation.tuning.pipeline import tune_pipeline

CROOKED = """\
rerank = []

[[legs]]
kind = "dense"
weight = 1.0

[[legs]]
kind = "bm25"
weight = 0.01  # Why so little?
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Docstrings in BEIR's format, asked for by some of their words."""
    folder = tmp_path_factory.mktemp("set")
    texts = manual_texts(120)
    corpus = [{"_id": f"d{n}", "title": "", "text": text} for n, text in enumerate(texts)]
    queries = [
        {"_id": f"q{n}", "text": " ".join(text.split()[3 : 8 + n % 3])} for n, text in enumerate(texts[:60])
    ]
    for name, rows in {"corpus": corpus, "queries": queries}.items():
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "qrels.tsv").write_text("".join(f"q{n}\td{n}\t1\n" for n in range(60)))
    return folder


@pytest.fixture(scope="module")
def db(tmp_path_factory, folder):
    path = tmp_path_factory.mktemp("tuned") / "manual.db"
    with RagIndex.open(path, config=Config(legs=(DenseLeg(), Bm25Leg()), rerank=())) as index:
        rows = map(json.loads, (folder / "corpus.jsonl").read_text().splitlines())
        index.add([index.passage(row["text"], caller_id=row["_id"], doc_id=row["_id"]) for row in rows])
    return path


@pytest.fixture
def crooked(tmp_path):
    path = tmp_path / "pipeline.toml"
    path.write_text(CROOKED)
    return path


def test_a_collections_pipeline_is_tuned_and_written(shell, db, folder, crooked, tmp_path):
    plot = tmp_path / "tuned.svg"
    code, out, err = shell(
        "tune", db, "--qrels", folder, "--config", crooked, "--trials", 20, "--plot", plot, "--json"
    )
    assert code == 0, err
    value = json.loads(out.splitlines()[-1])
    assert value["better"] and value["held_back"]["gain"] > 0
    assert "held back" in out and "The settings found are used." in out
    assert f"{crooked}: the pipeline has these settings" in out
    written = Config.from_toml(crooked)
    weights = {f"{leg.name}.weight": leg.weight for leg in written.legs}
    changed = {name: after for name, (_, after) in value["found"].items() if name in weights}
    assert changed and changed == {name: weights[name] for name in changed}
    assert plot.read_text().startswith("<?xml")
    code, out, _ = shell("search", db, "How is a file opened?", "--config", crooked, "--json")
    assert code == 0 and json.loads(out.splitlines()[-1])["hits"]


def test_questions_of_ones_own_tune_it_within_a_budget(shell, db, folder, crooked, tmp_path):
    asked, new = tmp_path / "asked.jsonl", tmp_path / "new.toml"
    queries = [json.loads(line) for line in (folder / "queries.jsonl").read_text().splitlines()]
    rows = [{"question": query["text"], "document": query["_id"].replace("q", "d")} for query in queries]
    asked.write_text("\n".join(map(json.dumps, rows)))
    found = ("--budget", 500, "--measure", "MRR@5", "--trials", 10, "--into", new, "--json")
    code, out, err = shell("tune", db, "--questions", asked, "--config", crooked, *found)
    assert code == 0, err
    value = json.loads(out.splitlines()[-1])
    assert value["measure"] == "MRR@5" and value["budget_ms"] == 500
    assert new.exists() == value["better"] and crooked.read_text() == CROOKED


def test_a_folder_is_indexed_and_tuned_with_k1_and_b(shell, folder, crooked, monkeypatch):
    asked = {}

    def told(opened, config, **options):
        asked.update(options)
        return tune_pipeline(opened, config, **options)

    monkeypatch.setattr("rag_plugins.evaluation.tuning.pipeline.tune_pipeline", told)
    code, out, err = shell("tune", folder, "--config", crooked, "--trials", 10, "--json")
    assert code == 0, err
    value = json.loads(out.splitlines()[-1])
    assert value["tried"] == 11 and asked["bm25"]
    assert value["better"] == (f"{crooked}: the pipeline has these settings" in out)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--budget", "50"], "--budget is for pipelines"),
        (["--questions", "asked.csv", "--fusion"], "--questions is for pipelines"),
        (["--qrels", "here", "--recall", "0.9", "--leg", "dense"], "--leg is for funnels"),
        (["--questions", "absent.csv"], "absent.csv"),
    ],
)
def test_what_does_not_belong_to_a_pipeline_is_refused(shell, db, options, said):
    code, _, err = shell("tune", db, *options)
    assert code in (1, 2) and said in err


def test_a_folder_brings_its_own_queries(shell, folder):
    code, _, err = shell("tune", folder, "--questions", "asked.csv")
    assert code == 2 and "queries of its own" in err


def test_few_queries_are_refused(shell, db, folder, tmp_path):
    judged = tmp_path / "few"
    judged.mkdir()
    (judged / "queries.jsonl").write_text((folder / "queries.jsonl").read_text())
    (judged / "qrels.tsv").write_text("".join(f"q{n}\td{n}\t1\n" for n in range(30)))
    code, _, err = shell("tune", db, "--qrels", judged)
    assert code == 1 and "30 judged queries: a pipeline is tuned on 40 at least" in err
