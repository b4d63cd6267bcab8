"""`rag-plugins tune` and `probe`, with the real MiniLM."""

import json

import pytest

from rag_plugins import Config, RagIndex
from rag_plugins.cli import main
from rag_plugins.config import DenseLeg
from rag_plugins.evaluation.texts import manual_texts
from rag_plugins.funnel import Funnel

CONFIG = """\
rerank = []

[[legs]]  # The only one.
kind = "dense"
"""


@pytest.fixture
def shell(capsys, monkeypatch):
    """Runs a command in this process: exit code, stdout, stderr."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit:
            main([str(argument) for argument in arguments])
        shown = capsys.readouterr()
        return int(exit.value.code or 0), shown.out, shown.err

    return run


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
