"""`rag-plugins chat` as it is typed; the page itself is tested beside its server."""

import os
import socket
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from chat_stub import KEY, chat_stub

from rag_plugins import RagIndex
from rag_plugins.cli import main

PROGRAM = Path(sys.executable).with_name("rag-plugins")
PUMP = "The screws of the pump head are tightened to 38 Nm."
LEXICAL = '[[legs]]\nkind = "bm25"\n'


@pytest.fixture(scope="module")
def db(tmp_path_factory):
    path = tmp_path_factory.mktemp("chat") / "parts.db"
    with RagIndex.open(path, preset="lexical") as index:
        index.add([index.passage(PUMP, doc_id="pump"), index.passage("A filter.", doc_id="filter")])
    return path


@pytest.fixture
def shell(capsys, monkeypatch):
    """Runs the command in this process: exit code, stdout, stderr."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments):
        with pytest.raises(SystemExit) as exit:
            main(["chat", *map(str, arguments)])
        shown = capsys.readouterr()
        return int(exit.value.code or 0), shown.out, shown.err

    return run


def with_model(folder, url, model="stub"):
    path = folder / "chat.toml"
    llm = f'[chat.llm]\nprovider = "openai"\nmodel = "{model}"\nbase_url = "{url}/v1"\n'
    path.write_text(f"rerank = []\n{LEXICAL}{llm}")
    return path


def test_a_question_comes_through_a_pipe_and_an_answer_goes_out(db):
    ran = subprocess.run(
        [PROGRAM, "chat", db, "--preset", "lexical", "--terminal"],
        input="How tight are the screws of the pump?\n1\n",
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "100"},
        timeout=60,
    )

    assert ran.returncode == 0, ran.stderr
    assert f"> {PUMP} [1]" in ran.stdout
    assert f"│ {PUMP}" in ran.stdout
    assert ">  " not in ran.stdout and "Type a question" not in ran.stdout
    assert "\x1b" not in ran.stdout
    assert not ran.stderr


def test_the_model_of_a_configuration_answers(db, tmp_path, shell, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with chat_stub("It is 38 Nm", " [1].") as server:
        monkeypatch.setattr(sys, "stdin", StringIO("How tight are the screws of the pump?\n"))
        code, out, _ = shell(db, "--terminal", "--config", with_model(tmp_path, server.url))

    assert code == 0
    assert "It is 38 Nm [1]." in out
    assert PUMP in server.requests[0]["messages"][1]["content"]


def test_a_model_that_is_not_there_is_one_line(db, tmp_path, shell, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        config = with_model(tmp_path, f"http://127.0.0.1:{taken.getsockname()[1]}")
        monkeypatch.setattr(sys, "stdin", StringIO("How tight are the screws of the pump?\n"))
        _, out, _ = shell(db, "--terminal", "--config", config)

    assert "openai's model stub at http://127.0.0.1" in out
    assert "cannot be reached" in out


def test_without_its_key_a_model_is_refused_in_one_line(db, tmp_path, shell, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    code, _, err = shell(db, "--terminal", "--config", with_model(tmp_path, "http://127.0.0.1:1"))

    assert code == 1
    assert "OPENAI_API_KEY is not set" in err and err.count("\n") == 1


def test_a_framework_that_is_none_names_both(db, shell):
    code, _, err = shell(db, "--framework", "haystack")
    assert code == 2
    assert "haystack: expected langchain or llama-index" in err


def test_an_absent_file_says_how_to_make_it(tmp_path, shell):
    code, _, err = shell(tmp_path / "none.db", "--terminal")
    assert code == 2
    assert "there is no" in err and "rag-plugins ingest" in err
    assert not (tmp_path / "none.db").exists()


def test_a_port_that_is_taken_is_one_line(db, shell):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, _, err = shell(db, "--preset", "lexical", "--port", port)

    assert code == 1
    assert f"port {port}" in err and err.count("\n") == 1


def test_without_the_extra_its_installation_is_told(db, shell, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    code, _, err = shell(db, "--preset", "lexical", "--port", 0)

    assert code == 1
    assert "pip install 'rag-plugins[chat]'" in err and err.count("\n") == 1


def test_without_a_models_package_its_installation_is_told(db, tmp_path, shell, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setitem(sys.modules, "langchain_openai", None)
    code, _, err = shell(db, "--config", with_model(tmp_path, "http://127.0.0.1:1"))

    assert code == 1
    assert "pip install langchain-openai" in err and err.count("\n") == 1


def test_help_says_what_it_does(shell):
    code, out, _ = shell("--help")

    assert code == 0
    assert "Ask a collection's documents" in out
    assert all(name in out for name in ("--framework", "--host", "--port", "--token", "--terminal"))
