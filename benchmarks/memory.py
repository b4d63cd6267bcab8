"""How much memory a process takes at its peak, measured in a process of its own."""

from __future__ import annotations

import resource
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from benchmarks.cross_encoders import ours
from rag_plugins.errors import require

__all__ = ["peak_bytes", "peak_of_reranking"]

_STATUS = Path("/proc/self/status")


def peak_bytes() -> int:
    """The most that this process has taken so far."""
    if _STATUS.is_file():  # Linux's ru_maxrss begins with that of the process it was forked from.
        line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def peak_of_reranking(folder: Path, question: str, passages: list[str], pairs: int) -> int:
    """Bytes at the peak of a new process that scores so many pairs; passages begin again at the end."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_rerank, folder, question, passages, pairs).result()


def _rerank(folder: Path, question: str, passages: list[str], pairs: int) -> int:
    require("torch", extra="models").set_num_threads(1)
    side = ours(folder)
    side.score(question, side.prepare([passages[n % len(passages)] for n in range(pairs)]))
    return peak_bytes()
