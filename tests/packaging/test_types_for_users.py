"""A user's program has no unknown types under pyright's strict mode, and what is public has types written."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import rag_plugins
import rag_plugins.langchain
import rag_plugins.llama_index

HERE = Path(__file__).parent
PYRIGHT = Path(sys.executable).with_name("pyright")
UNKNOWN = ("Member", "Variable", "Argument", "Parameter", "Lambda")

pytestmark = pytest.mark.skipif(not PYRIGHT.is_file(), reason="pyright is not installed")


def told(*arguments: str | Path) -> dict[str, Any]:
    command = [PYRIGHT, *arguments, "--pythonpath", sys.executable, "--outputjson"]
    # pyright finds no py.typed of a package that is installed as a link alone.
    path = {**os.environ, "PYTHONPATH": str(HERE.parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240, env=path)
    return json.loads(done.stdout)


def test_a_users_program_is_clean_in_strict_mode(tmp_path: Path) -> None:
    source = (HERE / "user_program.py").read_text(encoding="utf-8")
    (tmp_path / "user_program.py").write_text(source, encoding="utf-8")
    settings = {
        "include": ["user_program.py"],
        "typeCheckingMode": "strict",
        "pythonVersion": "3.11",
        "extraPaths": [str(HERE.parents[1])],
        **{f"reportUnknown{kind}Type": "error" for kind in UNKNOWN},
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))

    reported = told("--project", tmp_path)

    assert reported["summary"]["filesAnalyzed"] == 1
    assert [
        f"{each['range']['start']['line'] + 1}: {each['message']}" for each in reported["generalDiagnostics"]
    ] == []


@pytest.mark.parametrize(
    ("module", "prefix"),
    [(rag_plugins, ""), (rag_plugins.langchain, r"lc\."), (rag_plugins.llama_index, r"li\.")],
)
def test_the_users_program_uses_every_public_name(module: Any, prefix: str) -> None:
    body = (HERE / "user_program.py").read_text(encoding="utf-8").partition("\ndef ")[2]
    unused = [name for name in module.__all__ if not re.search(rf"\b{prefix}{name}\b", body)]

    assert unused == []


def test_types_are_complete(record_property: Any) -> None:
    """What pyright infers alone, other checkers may infer otherwise; third parties' gaps are not counted."""
    found = told("--verifytypes", "rag_plugins", "--ignoreexternal")["typeCompleteness"]
    gaps = [
        f"{symbol['name']}: {each['message']}"
        for symbol in found["symbols"]
        for each in symbol["diagnostics"]
        if symbol["isExported"] and re.search("missing type annotation|Ambiguous base", each["message"])
    ]

    assert found["completenessScore"] >= 0.95, gaps
