"""What the processes of `benchmarks.query` do: fill a database, ask it, ask a peer, ask the model."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any, TypeAlias

import numpy as np
from rich.progress import track

from benchmarks.made import Question, WordVectors, made_metadata, made_questions, made_texts
from benchmarks.peers.in_memory import PEERS, Collection
from rag_plugins import Config, RagIndex, where
from rag_plugins.config import FusionConfig
from rag_plugins.filters import Filter
from rag_plugins.types import JsonValue

__all__ = ["Figures", "Made", "ask_model", "ask_ours", "ask_peer", "fill"]

_BOTH = FusionConfig(method="minmax")
"""Adaptive fusion might leave a leg out, and be faster: all systems run two."""

_CONFIG = Config(rerank=(), fusion=_BOTH)
"""The preset `local` up to fusion."""

_BATCH = 5000
"""Passages added at once."""

_DEEPER = 16
"""Times the hits asked for that a peer searches before it filters: twice what the strictest filter needs."""

Find: TypeAlias = Callable[[Question], Sequence[str]]
"""A question to numbers of passages, best first."""

Figures: TypeAlias = dict[str, float]
"""By name; milliseconds and seconds as the name says."""


@dataclass(frozen=True, slots=True)
class Made:
    """A collection of one size and what is asked of it; the first question is the first after opening."""

    texts: list[str]
    metadata: list[dict[str, JsonValue]]
    questions: list[Question]

    @classmethod
    def of(cls, rows: int, questions: int, seed: int) -> Made:
        """From a seed; passages of a smaller collection are the first of a larger one."""
        texts, metadata = made_texts(rows, seed), made_metadata(rows, seed)
        return cls(texts, metadata, made_questions(texts, metadata, questions + 1, seed + 1))


def fill(made: Made, folder: Path) -> None:
    """Make the database in a folder, which gets its name once all is in it."""
    unfinished = folder.with_name(f"{folder.name}-unfinished")
    unfinished.mkdir(parents=True, exist_ok=True)
    rows, quiet = len(made.texts), not sys.stderr.isatty()
    with _open(unfinished) as index:
        for start in track(range(0, rows, _BATCH), f"{rows} passages", disable=quiet):
            index.add(
                index.passage(made.texts[row], caller_id=str(row), metadata=made.metadata[row])
                for row in range(start, min(start + _BATCH, rows))
            )
    unfinished.rename(folder)


def _open(folder: Path) -> RagIndex:
    return RagIndex.open(folder / "passages.db", config=_CONFIG, encoders={"dense": WordVectors()})


def ask_ours(folder: Path, questions: Sequence[Question], k: int) -> dict[str, Figures]:
    """Open the database, ask once, then all questions with and without their filters."""
    encoder = WordVectors()
    encoder.encode_queries([question.text for question in questions])  # It remembers them.
    started, used = perf_counter(), process_time()
    path = folder / "passages.db"
    with RagIndex.open(path, config=_CONFIG, encoders={"dense": encoder}) as index:
        opened, opened_cpu = perf_counter() - started, process_time() - used

        def filtered(question: Question) -> list[str]:
            return _numbers(index, question, k, _filter(question))

        def unfiltered(question: Question) -> list[str]:
            return _numbers(index, question, k, None)

        first, rest = questions[0], questions[1:]
        opening = {
            "open_seconds": opened,
            "open_cpu_seconds": opened_cpu,
            "first_query_ms": _measure(filtered, [first])["p50_ms"],
        }
        ours = opening | _measure(filtered, rest)
        stages = _stages(index, rest, k, ours["p50_ms"])
        return {"ours": ours | stages, "ours, no filter": _measure(unfiltered, rest)}


def _numbers(index: RagIndex, question: Question, k: int, filter: Filter | None) -> list[str]:
    return [str(hit.passage.caller_id) for hit in index.search(question.text, k, filter=filter)]


def _filter(question: Question) -> Filter:
    return (where("kind") == question.kind) & (where("year") >= question.since)


def _stages(index: RagIndex, questions: Sequence[Question], k: int, whole: float) -> Figures:
    """Median milliseconds of each leg, of fusion and of reading the passages; `other_ms` is what is left."""
    runs: list[dict[str, float]] = []
    for question in questions:
        outcome = index.run(question.text, k, filter=_filter(question))
        started = perf_counter()
        index.store.fetch([id for id, _ in outcome.final[:k]])
        runs.append({**outcome.seconds, "fetch": perf_counter() - started})
    stages = {f"{stage}_ms": 1000 * median(run[stage] for run in runs) for stage in runs[0]}
    del stages["encode_ms"]  # Remembered.
    return stages | {"other_ms": whole - sum(stages.values())}


def ask_peer(name: str, made: Made, k: int) -> dict[str, Figures]:
    """Build a peer over the same texts and vectors, then ask as ours is asked. Raises `MissingExtra`."""
    encoder = WordVectors()
    vectors = np.stack([encoder.vector(text) for text in made.texts])
    encoder.encode_queries([question.text for question in made.questions])
    ask = PEERS[name](
        Collection(made.texts, made.metadata, vectors, lambda text: encoder.encode_queries([text]).dense[0])
    )

    def filtered(question: Question) -> list[str]:
        found = ask(question.text, _DEEPER * k)
        return [id for id, about in found if _passes(about, question)][:k]

    def unfiltered(question: Question) -> list[str]:
        return [id for id, _ in ask(question.text, k)][:k]

    rest = made.questions[1:]
    unfiltered(made.questions[0])
    return {name: _measure(filtered, rest), f"{name}, no filter": _measure(unfiltered, rest)}


def _passes(about: Mapping[str, Any], question: Question) -> bool:
    return about["kind"] == question.kind and about["year"] >= question.since


def ask_model(made: Made) -> Figures:
    """What the preset's model and reranker take of a query. Raises `MissingExtra`, `ModelNotFound`."""
    with (
        TemporaryDirectory() as folder,
        RagIndex.open(Path(folder) / "model.db", config=Config(fusion=_BOTH)) as index,
    ):
        index.add(index.passage(text) for text in made.texts)
        runs = [index.run(question.text, 10).seconds for question in made.questions]
    return {f"{stage}_ms": 1000 * median(run[stage] for run in runs) for stage in ("encode", "rerank")}


def _measure(find: Find, questions: Sequence[Question]) -> Figures:
    """Wall and CPU milliseconds, hits, and the share of questions whose own passage is among them."""
    wall, cpu, hits, known = [], [], 0, 0
    for question in questions:
        started, used = perf_counter(), process_time()
        found = find(question)
        wall.append(1000 * (perf_counter() - started))
        cpu.append(1000 * (process_time() - used))
        hits += len(found)
        known += str(question.source) in found
    count = len(questions)
    return {
        "p50_ms": median(wall),
        "p99_ms": float(np.quantile(wall, 0.99)),
        "cpu_p50_ms": median(cpu),
        "hits": hits / count,
        "own_passage_found": known / count,
    }
