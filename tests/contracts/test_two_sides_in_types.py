"""Mixing the two sides of a passage fails in the type checker."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PYRIGHT = Path(sys.executable).with_name("pyright")


@pytest.mark.skipif(not PYRIGHT.is_file(), reason="pyright is not installed")
def test_every_mixture_of_the_sides_is_reported_and_nothing_else(tmp_path):
    source = (HERE / "misuses.py").read_text()
    (tmp_path / "misuses.py").write_text(source)
    (tmp_path / "pyrightconfig.json").write_text(
        json.dumps({"include": ["misuses.py"], "extraPaths": [str(HERE.parents[1])], "pythonVersion": "3.11"})
    )
    run = subprocess.run(
        [PYRIGHT, "--project", tmp_path, "--pythonpath", sys.executable, "--outputjson"],
        capture_output=True,
        text=True,
        check=False,
    )
    reported = json.loads(run.stdout)["generalDiagnostics"]
    wrong = {number for number, line in enumerate(source.split("\n")) if line.endswith("# mixed")}

    assert len(wrong) > 20
    assert {found["range"]["start"]["line"] for found in reported if found["severity"] == "error"} == wrong
