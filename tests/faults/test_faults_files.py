"""Every bad file is one typed error, in its time, below 1 GB; the good file beside it is stored."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import faults_support_bad_files as files
import pytest
from faults_support_bad_files import QUICK, SLOW, Case

from rag_plugins import Config, RagIndex
from rag_plugins.config import Bm25Leg

LIMIT_MB = 1024


def ingested(cases: Sequence[Case], folder: Path) -> list[dict[str, Any]]:
    """What the program says of these, one after the other in a process of their own."""
    names = json.dumps([case.name for case in cases])
    # Warnings of third parties are no failure for a user.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"}
    done = subprocess.run(
        (sys.executable, files.__file__, str(folder), names),
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def row(told: dict[str, Any]) -> str:
    (kind, page, reason) = told["bad"][0] if told["bad"] else ("stored", None, f"{told['pages']} pages")
    error = kind if page is None else f"{kind}, page {page}"
    return f"{told['case']!a:32.32} {error:20} {told['seconds']:7.2f} s {told['peak']:5} MB  {reason:.70}"


def problems(case: Case, told: dict[str, Any]) -> list[str]:
    """What is not as promised."""
    expected = [["BadDocument", case.page]] if case.says else []
    reasons = " ".join(reason for _, _, reason in told["bad"])
    checks = {
        "errors": [error[:2] for error in told["bad"]] == expected,
        "reason": any(part in reasons for part in case.says.split("|")) and len(reasons) < 200,
        "pages": told["pages"] == case.pages,
        "text": case.text in " ".join(told["text"].split()),
        "the good file": told["good"] == 1,
        "seconds": told["seconds"] <= case.seconds,
        "memory": told["peak"] < LIMIT_MB,
    }
    return [name for name, held in checks.items() if not held]


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """All quick ones in one process, those of the same settings in one opening of the index."""
    cases = sorted(QUICK.values(), key=lambda case: case.settings)
    told = ingested(cases, tmp_path_factory.mktemp("bad"))
    print(*map(row, told), sep="\n")
    return {each["case"]: each for each in told}


@pytest.mark.parametrize("name", QUICK, ids=ascii)
def test_a_bad_file_is_one_error_and_costs_no_other(name: str, quick: dict[str, dict[str, Any]]):
    assert not problems(QUICK[name], quick[name]), quick[name]


@pytest.mark.faults
@pytest.mark.timeout(700)
@pytest.mark.parametrize("name", SLOW)
def test_slow_bad_files_too(name: str, tmp_path: Path):
    (told,) = ingested([SLOW[name]], tmp_path)
    print(row(told))
    assert not problems(SLOW[name], told), told


def test_characters_that_no_text_has_are_taken_out_and_counted(tmp_path: Path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfpump\0s and \x01valves\x7f\nnext")
    (tmp_path / "b.html").write_text("<p>gasket\x90 and seal</p>")
    with RagIndex.open(tmp_path / "all.db", config=Config(legs=(Bm25Leg(),), rerank=())) as index:
        summary = index.ingest([tmp_path / "a.txt", tmp_path / "b.html"])
        assert sorted(passage.llm_text for passage in index.find()) == [
            "gasket and seal",
            "pumps and valves\nnext",
        ]
    assert summary.removed == 4 and not summary.bad
