"""`rag-plugins tune` and `probe`, with the real MiniLM."""

import json

import pytest

from rag_plugins import Config, RagIndex
from rag_plugins.config import DenseLeg
from rag_plugins.evaluation.texts import manual_texts
from rag_plugins.funnel import Funnel

CONFIG = """\
rerank = []

[[legs]]  # The only one.
kind = "dense"
"""


@pytest.fixture(scope="module")
def texts():
    return [" ".join(text.split()[:8]) for text in manual_texts(540)]


@pytest.fixture(scope="module")
def db(tmp_path_factory, texts):
    path = tmp_path_factory.mktemp("tune") / "manual.db"
    with RagIndex.open(path, config=Config(legs=(DenseLeg(),), rerank=())) as index:
        index.add([index.passage(text, caller_id=str(n)) for n, text in enumerate(texts)])
        assert index.store.prefixes("dense")  # By itself, at 500.
    return path


def test_tune_measures_shows_plots_and_writes_the_configuration(shell, db, tmp_path):
    config, plot = tmp_path / "rag.toml", tmp_path / "tuning.svg"
    config.write_text(CONFIG)
    code, out, err = shell("tune", db, "--config", config, "--recall", 0.9, "--plot", plot, "--json")
    assert code == 0, err
    value = json.loads(out.splitlines()[-1])
    assert (value["target"], value["dim"], value["queries"]) == (0.9, 384, 200)
    assert value["rows"] > 500
    (chosen,) = [row for row in value["trials"] if row["chosen"]]
    assert chosen["recall"] >= 0.9 and chosen["microseconds"] < value["exact_microseconds"]
    (leg,) = Config.from_toml(config).legs
    assert leg.funnel == Funnel(value["funnel"])
    assert "# The only one." in config.read_text() and plot.read_text().startswith("<?xml")
    assert "chosen" in out and "exact search" in out
    with RagIndex.open(db, config=Config.from_toml(config)) as index:
        assert index.store.prefixes("dense").funnel == leg.funnel


def test_tune_takes_questions_and_makes_a_new_configuration(shell, db, tmp_path):
    questions, config, new = tmp_path / "questions.txt", tmp_path / "rag.toml", tmp_path / "new.toml"
    questions.write_text("How is a file opened?\nWhat closes a socket?\n")
    config.write_text(CONFIG)
    code, out, err = shell(
        "tune", db, "--config", config, "--queries", questions, "-k", 5, "--into", new, "--json"
    )
    assert code == 0, err
    value = json.loads(out.splitlines()[-1])
    assert (value["queries"], value["k"]) == (2, 5)
    assert Config.from_toml(new).legs[0].kind == "dense" and config.read_text() == CONFIG


def test_tune_refuses_a_collection_that_is_too_small(shell, tmp_path):
    config = tmp_path / "rag.toml"
    config.write_text(CONFIG)
    with RagIndex.open(tmp_path / "small.db", config=Config.from_toml(config)) as index:
        index.add([index.passage("The valve is brass.")])
    code, _, err = shell("tune", tmp_path / "small.db", "--config", config)
    assert code == 1 and "1 passages" in err and "500" in err
    assert config.read_text() == CONFIG


STAGE = """\
[[legs]]
kind = "dense"

[[rerank]]
kind = "late-interaction"
depth = 6  # Enough.
"""


@pytest.fixture
def judged(tmp_path, texts):
    """Texts without a word of theirs, as queries; one asks for what is not in the collection."""
    folder = tmp_path / "judged"
    folder.mkdir()
    queries = {str(n): text.split(" ", 1)[1] for n, text in enumerate(texts[:25])}
    lines = [json.dumps({"_id": id, "text": text}) for id, text in queries.items()]
    (folder / "queries.jsonl").write_text("\n".join(lines))
    (folder / "qrels.tsv").write_text("0\tgone\t1\n" + "".join(f"{n}\t{n}\t1\n" for n in range(1, 25)))
    return folder


def test_tune_calibrates_and_blends_a_rerank_stage(shell, db, judged, tmp_path, texts):
    config, plot = tmp_path / "rag.toml", tmp_path / "plot.svg"
    config.write_text(STAGE)
    found = ("--qrels", judged, "--calibrate", "--blend", "--config", config, "--plot", plot, "--json")
    code, out, err = shell("tune", db, *found)
    assert code == 0, err
    value = json.loads(out.splitlines()[-1])
    assert value["queries"] == {"used": 24, "absent": 1, "unjudged": 0, "unread": 0}
    assert value["calibration"]["pairs"] == 24 * 6 and value["blend"]["queries"] == 24
    (stage,) = Config.from_toml(config).rerank
    assert [list(point) for point in stage.isotonic] == value["calibration"]["isotonic"]
    assert (stage.calibration, stage.blend) == ("isotonic", value["blend"]["chosen"])
    assert "depth = 6  # Enough." in config.read_text() and plot.read_text().startswith("<?xml")
    assert "24 used" in out and "1 whose relevant documents are not in the collection" in out
    assert f"{config}: rerank stage 1 has the calibration and blend" in out and "funnel" not in out
    code, out, err = shell("search", db, texts[3], "--config", config, "--json")
    assert code == 0, err
    trace = json.loads(out.splitlines()[-1])["hits"][0]["trace"]
    (said,) = [stage for stage in trace if stage["kind"] == "rerank"]
    assert 0.0 < said["probability"] <= 1.0


def test_tune_says_that_nothing_was_written(shell, judged, texts, tmp_path):
    with RagIndex.open(tmp_path / "local.db") as index:
        index.add([index.passage(text, caller_id=str(n)) for n, text in enumerate(texts[:25])])
    before = set(tmp_path.iterdir())
    code, out, err = shell("tune", tmp_path / "local.db", "--qrels", judged, "--blend")
    assert code == 0 and "Nothing was written: --into" in out, err
    assert set(tmp_path.iterdir()) == before


def test_tune_says_what_a_min_score_became(shell, db, judged, tmp_path):
    config, new = tmp_path / "rag.toml", tmp_path / "new.toml"
    config.write_text(STAGE + "min_score = 0.9\n")
    code, out, err = shell(
        "tune", db, "--qrels", judged, "--calibrate", "--config", config, "--into", new, "--stage", 1
    )
    assert code == 0, err
    (stage,) = Config.from_toml(new).rerank
    assert f"{new}: rerank stage 1 has the calibration; its min_score is {stage.min_score:g}" in out
    assert stage.depth == 6 and Config.from_toml(config).rerank[0].calibration is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--calibrate"], "--qrels FOLDER, with queries.jsonl and qrels.tsv"),
        (["--blend", "--json"], "--qrels FOLDER"),
        (["--stage", "1"], "--stage is for --calibrate and --blend"),
        (["--qrels", "here", "--blend", "--queries", "q.txt"], "--queries is for funnels and --fusion"),
        (["--qrels", "here", "--calibrate", "--leg", "dense"], "--leg is for funnels"),
        (["--fusion", "--blend"], "--fusion goes by itself"),
        (["--fusion", "--leg", "dense"], "--leg is for funnels"),
        (["--fusion", "--into", "x.toml"], "what --fusion learns the collection keeps"),
        (
            ["--fusion", "--qrels", "here", "--pairs", "p.jsonl"],
            "--pairs and --qrels: --fusion learns from one",
        ),
        (["--pairs", "p.jsonl"], "--pairs is for --fusion"),
    ],
)
def test_tune_refuses_options_that_do_not_go_together(shell, db, options, said):
    code, _, err = shell("tune", db, *options)
    assert code == 2 and said in err


def test_tune_refuses_judged_queries_that_are_not_there(shell, db, tmp_path):
    code, _, err = shell("tune", db, "--qrels", tmp_path / "absent", "--calibrate")
    assert code == 1 and "queries.jsonl" in err and "absent" in err


def test_probe_says_that_minilm_is_no_matryoshka_model(shell, texts, tmp_path):
    file = tmp_path / "texts.txt"
    file.write_text("\n\n".join(dict.fromkeys(texts[:250])))
    code, out, err = shell("probe", "all-MiniLM-L6-v2", "--texts", file, "--json")
    assert code == 0, err
    value = json.loads(out.splitlines()[-1])
    assert value["matryoshka"] is False and value["dim"] == 384
    assert "Matryoshka: no" in out and 'rotation = "auto"' in out


def test_probe_refuses_too_few_texts(shell, tmp_path):
    file = tmp_path / "texts.txt"
    file.write_text("One.\n\nTwo.")
    code, _, err = shell("probe", "all-MiniLM-L6-v2", "--texts", file)
    assert code == 1 and "2 different texts" in err
