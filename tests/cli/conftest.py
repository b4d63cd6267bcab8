"""The command line, in the process of the tests."""

import io

import pytest

from rag_plugins.cli import main


@pytest.fixture
def shell(capsys, monkeypatch):
    """Runs a command: exit code, stdout, stderr. Wide, so that no line is broken."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments, stdin=b""):
        capsys.readouterr()
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as exit:
            main([str(argument) for argument in arguments])
        shown = capsys.readouterr()
        return int(exit.value.code or 0), shown.out, shown.err

    return run
