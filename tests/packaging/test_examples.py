"""The example scripts run as they stand."""

import runpy
import sys
from pathlib import Path

from faces_support import tiny_cross_encoder

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_reranking_alone(tmp_path, monkeypatch, capsys):
    folder = tiny_cross_encoder(tmp_path, ["tank", "screws", "the"])
    monkeypatch.setattr(sys, "argv", ["rerank.py", folder])
    runpy.run_path(str(EXAMPLES / "rerank.py"))
    lines = capsys.readouterr().out.splitlines()

    assert len(lines) == 5
    assert float(lines[0].split()[0]) >= float(lines[1].split()[0])
    assert lines[4].startswith(f"{tmp_path.name} runs on ")
