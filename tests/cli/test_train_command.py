"""`rag-plugins train`: planned, trained, compared, written where it is no worse."""

import json

import pytest
from training_support import bert

from rag_plugins.config import Config
from rag_plugins.index import RagIndex
from rag_plugins.training import Trained

LEG = '[[legs]]\nkind = "dense"\nmodel = "{}"\n\n[[legs]]\nkind = "bm25"\n'
SETTINGS = """
[train.{}]
batch = 4
dev = 0.3
max_length = 32
precision = "fp32"
"""
PARTS = [(colour, part) for colour in ("red", "blue") for part in ("pump", "valve", "filter")]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return bert(tmp_path_factory.mktemp("base"))


@pytest.fixture
def pipeline(base, tmp_path):
    """A configuration of that model, which says how a kind is trained."""

    def written(kind):
        path = tmp_path / "pipeline.toml"
        path.write_text("rerank = []\n" + LEG.format(base) + SETTINGS.format(kind), encoding="utf-8")
        return path

    return written


@pytest.fixture
def pairs(tmp_path):
    path = tmp_path / "pairs.csv"
    rows = [f"{colour} {part},the {part} is {colour}" for colour, part in PARTS]
    path.write_text("\n".join(["query,positive", *rows, "alone,"]), encoding="utf-8")
    return path


def test_a_dry_run_says_what_and_how_long_and_writes_nothing(shell, pipeline, pairs, tmp_path):
    config = pipeline("dense")
    before = config.read_text(encoding="utf-8")
    options = ("--into", tmp_path / "m", "--config", config, "--dry-run", "--json")
    code, told, _ = shell("train", "dense", pairs, *options)
    assert code == 0 and "expected time here" in told and "left out: pairs.csv, line 8" in told
    planned = json.loads(told.splitlines()[-1])
    assert planned["pairs"] == {"train": 5, "dev": 1, "unread": 1}
    assert planned["steps"] == 2 and planned["seconds"] > 0 and planned["kind"] == "dense"
    assert not (tmp_path / "m").exists() and config.read_text(encoding="utf-8") == before


def test_trained_compared_and_named(shell, pipeline, pairs, tmp_path, monkeypatch):
    monkeypatch.setattr(Trained, "better", property(lambda _: True))
    config = pipeline("dense")
    options = ("--into", tmp_path / "m", "--config", config, "--json")
    code, told, complained = shell("train", "dense", pairs, *options)
    assert code == 0, complained
    assert "By the width of the prefix" in told and "nDCG@10" in told
    assert f"{config}: the dense leg has the model" in told
    assert Config.from_toml(config).legs[0].model == str(tmp_path / "m")
    assert json.loads(told.splitlines()[-1])["folder"] == str(tmp_path / "m")
    assert "left out: pairs.csv, line 8" in complained
    runs = tmp_path / "m" / "evaluation"
    code, told, _ = shell("evaluate", "--compare", runs / "before", runs / "after")
    assert code == 0 and "paired t-test" in told


def test_a_worse_one_is_kept_and_not_named(shell, pipeline, pairs, tmp_path, monkeypatch):
    monkeypatch.setattr(Trained, "better", property(lambda _: False))
    config = pipeline("dense")
    before = config.read_text(encoding="utf-8")
    code, told, _ = shell("train", "dense", pairs, "--into", tmp_path / "m", "--config", config)
    assert code == 0 and "It makes the pipeline worse: the configuration stays as it is." in told
    assert config.read_text(encoding="utf-8") == before and (tmp_path / "m" / "README.md").is_file()


def test_a_collection_and_its_log_make_a_reranker(shell, base, pipeline, tmp_path, monkeypatch):
    monkeypatch.setattr(Trained, "better", property(lambda _: True))
    config = pipeline("reranker")
    with RagIndex.open(tmp_path / "parts.db", config=Config.from_toml(config)) as index:
        index.add(
            [index.passage(f"the {part} is {colour}", caller_id=f"{colour} {part}") for colour, part in PARTS]
        )
    log = tmp_path / "log.jsonl"
    clicks = [{"query": f"{colour} {part}", "doc_id": f"{colour} {part}"} for colour, part in PARTS]
    clicks.append({"query": "a lamp", "doc_id": "lamp"})
    log.write_text("\n".join(map(json.dumps, clicks)), encoding="utf-8")
    options = ("--log", log, "--into", tmp_path / "m", "--config", config, "--model", base)
    code, told, complained = shell("train", "reranker", tmp_path / "parts.db", *options)
    assert code == 0, complained
    assert "Kept out of the negatives" in told and "the cross-encoder stage has the model" in told
    assert "left out: 'a lamp'" in complained
    (stage,) = Config.from_toml(config).rerank
    assert stage.model == str(tmp_path / "m")


def test_without_a_configuration_one_stands_beside_the_model(shell, base, pairs, tmp_path, monkeypatch):
    monkeypatch.setattr(Trained, "better", property(lambda _: True))
    code, told, complained = shell(
        "train", "reranker", pairs, "--into", tmp_path / "m", "--preset", "lexical", "--model", base
    )
    assert code == 0, complained
    (stage,) = Config.from_toml(tmp_path / "m" / "pipeline.toml").rerank
    assert stage.kind == "cross-encoder"


def test_what_contradicts_itself_is_wrong_usage(shell, pairs, tmp_path):
    into = ("--into", tmp_path / "m")
    code, _, told = shell("train", "dense", "parts.db", *into, "--log", pairs, "--mine", "x.db")
    assert code == 2 and "--mine" in told
    code, _, told = shell("train", "dense", pairs, *into, "--mine", tmp_path / "none.db")
    assert code == 2 and "there is no" in told
    code, _, told = shell("train", "dense", tmp_path / "none.jsonl", *into)
    assert code == 1 and "none.jsonl" in told
