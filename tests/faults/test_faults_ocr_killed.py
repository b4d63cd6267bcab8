"""The parent is killed while pages are recognised: no Tesseract lives on, and no file is left."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import faults_support_bad_files as files
import pytest

pytestmark = pytest.mark.skipif(
    shutil.which("setpriv") is None or not Path("/proc").exists(), reason="the system is not Linux"
)

INGEST = """
import sys
from rag_plugins import Config, RagIndex
from rag_plugins.config import Bm25Leg, OcrConfig
config = Config(legs=(Bm25Leg(),), rerank=(), ocr=OcrConfig(workers=2))
with RagIndex.open(sys.argv[1] + "/all.db", config=config) as index:
    index.ingest([sys.argv[1] + "/pages"])
"""


def marked(mark: str) -> Iterator[tuple[int, str]]:
    """Living processes with this in their environment, and what they run."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"MARK={mark}".encode() in (process / "environ").read_bytes().split(b"\0"):
                yield int(process.name), (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue  # It has ended, or is another user's.


@pytest.mark.parametrize(("name", "program"), [("noise.png", "tesseract"), ("forms.pdf", "pdfium")])
def test_nothing_outlives_a_killed_parent(name: str, program: str, tmp_path: Path):
    temporary, pages = tmp_path / "temporary", tmp_path / "pages"
    temporary.mkdir()
    pages.mkdir()
    for number in range(2):
        place = pages / f"{number}{name}"
        files.QUICK[name].make(place) if program == "pdfium" else files._noise(2480, 3508)(place)
    mark = str(tmp_path)
    environment = {**os.environ, "MARK": mark, "TMPDIR": str(temporary)}
    parent = subprocess.Popen((sys.executable, "-c", INGEST, str(tmp_path)), env=environment)
    try:
        end = time.monotonic() + 60
        while not any(program in command.split(" -c ")[0] for _, command in marked(mark)):
            assert parent.poll() is None and time.monotonic() < end, "it has begun"
            time.sleep(0.05)
        time.sleep(0.3)  # In the middle.
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        end = time.monotonic() + 10
        while (left := list(marked(mark))) and time.monotonic() < end:
            time.sleep(0.02)
        assert not left
        assert not list(temporary.iterdir())
    finally:
        parent.kill()
        parent.wait()
        for process, _ in marked(mark):
            os.kill(process, signal.SIGKILL)
