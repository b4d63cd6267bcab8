"""How fast learned sparse vectors are searched in memory: whole searches beside the bare loop over postings.

    python -m benchmarks.sparse --rows 100000

Rows and queries have distinct dimensions drawn by Zipf's law, or all alike, with random weights. Ours is the
whole search: the ten best, their ids, in order. The bare loop adds the same weights into an array, knows
where each list is, and chooses nothing. Milvus Lite searches the same rows in a file.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, TypeAlias

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from rag_plugins.errors import require
from rag_plugins.resident.sparse import SparseIndex
from rag_plugins.store.milvus import MilvusStore
from rag_plugins.store.schema import Row, VectorField
from rag_plugins.types import EmbedText, Passage, passage_id
from rag_plugins.vectors import SparseVector

Draw: TypeAlias = Callable[[int, int, np.random.Generator], np.ndarray]
Search: TypeAlias = Callable[[SparseVector], object]

_BEST = 10
_BATCH = 1024
_SPARE = 6
"""Dimensions are drawn this many times as often as they are needed, as some come up twice."""


def _zipf(count: int, dims: int, draw: np.random.Generator) -> np.ndarray:
    shares = np.cumsum(1.0 / np.arange(1, dims + 1))
    return np.searchsorted(shares, draw.random(count) * shares[-1])


def _uniform(count: int, dims: int, draw: np.random.Generator) -> np.ndarray:
    return draw.integers(0, dims, count)


KINDS: dict[str, Draw] = {"zipf": _zipf, "uniform": _uniform}
"""How dimensions are drawn."""


@dataclass(frozen=True, slots=True)
class Made:
    """Rows and queries of one kind."""

    rows: list[SparseVector]
    queries: list[SparseVector]


def main() -> None:
    """Make, search in each way, print."""
    options = _options()
    made = {kind: _made(kind, options) for kind in KINDS}
    ids = [passage_id("", caller_id=str(row)) for row in range(options.rows)]
    with tempfile.TemporaryDirectory() as folder, _stored(Path(folder) / "sparse.db", made, ids) as store:
        measured = {kind: _measured(kind, of_kind, ids, store) for kind, of_kind in made.items()}
    figures = {
        f"{kind}_{way}_{name}": figure
        for kind, ways in measured.items()
        for way, times in ways.items()
        for name, figure in times.items()
    }
    cpu = {kind: {way: times["p50_cpu_ms"] for way, times in ways.items()} for kind, ways in measured.items()}
    figures |= {
        # The worse of the two.
        "ratio_to_postings_loop": max(times["ours"] / times["loop"] for times in cpu.values()),
        "speedup_vs_lite": min(times["lite"] / times["ours"] for times in cpu.values()),
    }
    _print(measured, figures)
    print(json.dumps({name: round(figure, 4) for name, figure in figures.items()}))


def _made(kind: str, options: argparse.Namespace) -> Made:
    draw = np.random.default_rng(options.seed)
    rows = [_vector(kind, options.terms, options.dims, draw) for _ in range(options.rows)]
    return Made(
        rows, [_vector(kind, options.query_terms, options.dims, draw) for _ in range(options.queries)]
    )


def _vector(kind: str, terms: int, dims: int, draw: np.random.Generator) -> SparseVector:
    found = KINDS[kind](terms * _SPARE, dims, draw)
    _, first = np.unique(found, return_index=True)
    chosen = np.sort(found[np.sort(first)[:terms]]).astype(np.uint32)
    return SparseVector(chosen, draw.random(len(chosen), np.float32) + np.float32(0.01))


def _stored(path: Path, made: dict[str, Made], ids: Sequence[str]) -> MilvusStore:
    """The plain store of a file: its searches are Milvus Lite's own."""
    fields = [VectorField(kind, "sparse") for kind in made]
    store = MilvusStore.open(path, fields=fields, fingerprint={})
    for start in track(range(0, len(ids), _BATCH), "adding"):
        store.upsert(
            [
                Row(
                    Passage(ids[row], "", (EmbedText(""),), ""),
                    {kind: of_kind.rows[row] for kind, of_kind in made.items()},
                )
                for row in range(start, min(start + _BATCH, len(ids)))
            ]
        )
    return store


def _measured(kind: str, made: Made, ids: Sequence[str], store: MilvusStore) -> dict[str, dict[str, float]]:
    written = SparseIndex()
    for start in range(0, len(made.rows), _BATCH):
        written.append(made.rows[start : start + _BATCH])
    index = SparseIndex.of(written.arrays())  # As it is opened.

    def ours(query: SparseVector) -> list[tuple[str, float]]:
        return _ranking(ids, *index.search(query, _BEST, None))

    def lite(query: SparseVector) -> list[tuple[str, float]]:
        return store.search(kind, query, _BEST)

    for query in made.queries[:20]:
        scores = [[round(score, 3) for _, score in search(query)] for search in (ours, lite)]
        if scores[0] != scores[1]:
            raise SystemExit(f"{kind}: ours and Lite's differ: {scores}")
    ways: dict[str, tuple[Search, int]] = {
        "ours": (ours, 5),
        "loop": (_loop(index, made.queries), 5),
        "scipy": (_scipy(made.rows), 1),
        "lite": (lite, 1),
    }
    return {
        way: _times(search, made.queries[: 20 if way == "lite" else None], repeats)
        for way, (search, repeats) in ways.items()
    }


def _ranking(ids: Sequence[str], rows: np.ndarray, scores: np.ndarray) -> list[tuple[str, float]]:
    hits = [(ids[row], score) for row, score in zip(rows.tolist(), scores.tolist(), strict=True)]
    return sorted(hits, key=lambda hit: (-hit[1], hit[0]))[:_BEST]


def _loop(index: SparseIndex, queries: Sequence[SparseVector]) -> Search:
    """The bare loop: where the lists of each query are is known beforehand."""
    arrays = index.arrays()
    rows, weights, scores = arrays["rows"], arrays["numbers"], np.zeros(len(index), np.float32)
    spans = {id(query): _spans(arrays, query) for query in queries}
    add = _compiled_loop()
    return lambda query: add(*spans[id(query)], rows, weights, scores)


def _spans(arrays: dict[str, Any], query: SparseVector) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    known = np.isin(query.indices, arrays["symbols"])
    at = np.searchsorted(arrays["symbols"], query.indices[known].astype(np.int64))
    return arrays["begins"][at], arrays["begins"][at + 1], query.values[known]


@cache
def _compiled_loop() -> Any:
    def add(begins: Any, ends: Any, factors: Any, rows: Any, weights: Any, scores: Any) -> None:
        scores[:] = 0.0
        for term in range(len(begins)):
            factor = factors[term]
            for place in range(begins[term], ends[term]):
                scores[rows[place]] += factor * weights[place]

    return require("numba", extra="speed").njit(add)


def _scipy(rows: Sequence[SparseVector]) -> Search:
    """A compressed sparse row matrix times the query, then the ten best."""
    sparse: Any = require("scipy.sparse", extra="models")
    ends = np.cumsum([0, *map(len, rows)])
    weights = np.concatenate([row.values for row in rows])
    matrix = sparse.csr_matrix(
        (weights, np.concatenate([row.indices for row in rows]).astype(np.int32), ends)
    )

    def search(query: SparseVector) -> np.ndarray:
        dense = np.zeros(matrix.shape[1], np.float32)
        known = query.indices < len(dense)
        dense[query.indices[known]] = query.values[known]
        scores = matrix @ dense
        return np.argpartition(scores, -min(_BEST, len(scores)))[-_BEST:]

    return search


def _times(search: Search, queries: Sequence[SparseVector], repeats: int) -> dict[str, float]:
    search(queries[0])  # What is compiled or set up once is not counted.
    wall, cpu = np.array(list(_timed(search, queries, repeats))).T * 1000 / repeats
    return {
        "p50_ms": float(np.median(wall)),
        "p99_ms": float(np.quantile(wall, 0.99)),
        "p50_cpu_ms": float(np.median(cpu)),
    }


def _timed(search: Search, queries: Sequence[SparseVector], repeats: int) -> Iterator[tuple[float, float]]:
    """(wall, CPU) seconds of each query."""
    for query in queries:
        started, used = perf_counter(), process_time()
        for _ in range(repeats):
            search(query)
        yield perf_counter() - started, process_time() - used


def _print(measured: dict[str, dict[str, dict[str, float]]], figures: dict[str, float]) -> None:
    table = Table("dimensions", "search", "p50 ms", "p99 ms", "p50 ms CPU", "x the bare loop (CPU)")
    for kind, ways in measured.items():
        for way, times in ways.items():
            ratio = times["p50_cpu_ms"] / ways["loop"]["p50_cpu_ms"]
            table.add_row(kind, way, *(f"{figure:.4f}" for figure in times.values()), f"{ratio:.2f}")
    console = Console()
    console.print(table)
    for name in ("ratio_to_postings_loop", "speedup_vs_lite"):
        console.print(f"{name}: {figures[name]:.2f}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--terms", type=int, default=60, help="of a row")
    parser.add_argument("--query-terms", type=int, default=20)
    parser.add_argument("--dims", type=int, default=30522, help="as many as BERT has word pieces")
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
