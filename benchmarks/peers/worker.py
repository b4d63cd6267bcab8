"""One peer in a process of its own: built over a folder's texts and vectors, asked its questions, measured.

    python -m benchmarks.peers.worker NAME FOLDER K

The folder has texts.json, vectors.npy, questions.json and question_vectors.npy; a line of JSON is printed.
"""

from __future__ import annotations

import json
import resource
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

import numpy as np

from benchmarks.peers.in_memory import Collection
from benchmarks.peers.systems import SYSTEMS

__all__ = ["main"]

_FEW = 20


def main(name: str, folder: Path, k: int) -> None:
    """Print {"build_seconds", "build_cpu", "ms", "mb", "found"}: rows found by question, best first."""
    texts = json.loads((folder / "texts.json").read_text(encoding="utf-8"))
    questions = json.loads((folder / "questions.json").read_text(encoding="utf-8"))
    asked = dict(zip(questions.values(), np.load(folder / "question_vectors.npy"), strict=True))
    made = Collection(texts, [{}] * len(texts), np.load(folder / "vectors.npy"), asked.__getitem__)
    with TemporaryDirectory() as scratch:
        few = replace(
            made, texts=texts[:_FEW], metadata=[{}] * len(texts[:_FEW]), vectors=made.vectors[:_FEW]
        )
        (first := Path(scratch) / "few").mkdir()
        SYSTEMS[name].build(few, first)  # Packages are loaded.
        before = _peak()
        start, used = perf_counter(), process_time()
        ask = SYSTEMS[name].build(made, Path(scratch))
        built, cpu = perf_counter() - start, process_time() - used
        ask(next(iter(questions.values())), k)  # What is made at first use, no question waits for.
        found: dict[str, list[int]] = {}
        milliseconds: list[float] = []
        for id, text in questions.items():
            start = perf_counter()
            hits = ask(text, k)
            milliseconds.append(1000 * (perf_counter() - start))
            found[id] = [int(row) for row, _ in hits]
    figures = {"build_seconds": built, "build_cpu": cpu, "ms": milliseconds, "mb": _peak() - before}
    print(json.dumps({**figures, "found": found}))


def _peak() -> float:
    """MB that this process and the largest of its children have taken at most."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(resource.getrusage(kind).ru_maxrss for kind in kinds) / 1024


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
