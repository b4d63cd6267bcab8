"""Ways to search dense vectors: ours, numpy, faiss, Milvus Lite. Each takes a query and gives rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any, TypeAlias

import numpy as np
from rich.progress import track

from benchmarks.vectors import BEST, Truth
from rag_plugins.errors import require
from rag_plugins.resident.dense import DenseIndex
from rag_plugins.store.milvus import MilvusStore
from rag_plugins.store.schema import Row, VectorField
from rag_plugins.types import EmbedText, Passage, passage_id
from rag_plugins.vectors import FloatArray, Matrix

__all__ = ["System", "exact", "figures", "flat", "hnsw", "lite", "ours", "pq", "recall"]

Search: TypeAlias = Callable[[FloatArray], Sequence[int]]

_BATCH = 1024
_LINKS = 32
_MOST = 4096
"""The largest efSearch tried."""

_ROUNDS = 5
_TIMED = {"Milvus Lite": 4, "faiss PQ": 10}
"""Queries a round of the slowest, and of all others."""
_OTHERS = 40


@dataclass(frozen=True, slots=True)
class System:
    """A way to search, what it is set to, and what it took to build (CPU seconds)."""

    name: str
    setting: str
    search: Search
    build: float = 0.0


def ours(name: str, index: DenseIndex) -> System:
    """By the prefixes that the index has."""

    def search(query: FloatArray) -> list[int]:
        rows, scores = index.search(query, BEST, None)
        return rows[np.lexsort((rows, -scores))[:BEST]].tolist()

    return System(name, str(index.prefixes.funnel if index.prefixes else "exact"), search)


def exact(vectors: Matrix) -> System:
    """Every vector's product with the query, and the best ten of them.

    numpy's `vecdot` takes less than half the time of `vectors @ query` on some processors.
    """
    many = min(BEST, len(vectors))

    def search(query: FloatArray) -> list[int]:
        return np.argpartition(np.vecdot(vectors, query), -many)[-many:].tolist()

    return System("exact, numpy", "", search)


def flat(vectors: Matrix) -> System:
    """The exact search of faiss."""
    faiss: Any = _faiss()
    started, index = process_time(), faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    return System("exact, faiss flat", "", _searched(index), process_time() - started)


def hnsw(vectors: Matrix, queries: Matrix, truth: Truth, like: System) -> System:
    """HNSW of faiss, its efSearch raised until it finds as much as another system."""
    faiss: Any = _faiss()
    started = process_time()
    index = faiss.IndexHNSWFlat(vectors.shape[1], _LINKS, faiss.METRIC_INNER_PRODUCT)
    index.add(vectors)
    build, search = process_time() - started, _searched(index)
    target = recall(like.search, queries, truth)
    index.hnsw.efSearch = 16
    while recall(search, queries, truth) < target and index.hnsw.efSearch < _MOST:
        index.hnsw.efSearch = int(index.hnsw.efSearch * 1.25)
    return System("faiss HNSW", f"M {_LINKS}, efSearch {index.hnsw.efSearch}", search, build)


def pq(vectors: Matrix, size: int) -> System:
    """PQ of faiss with `size` bytes a row, or the next smaller number that divides the width."""
    faiss: Any = _faiss()
    parts = max(part for part in range(1, size + 1) if vectors.shape[1] % part == 0)
    bits = min(8, int(np.log2(max(len(vectors) // 40, 2))))
    started, index = process_time(), faiss.IndexPQ(vectors.shape[1], parts, bits, faiss.METRIC_INNER_PRODUCT)
    index.train(vectors[: 40 << bits])
    index.add(vectors)
    return System("faiss PQ", f"{parts} x {bits} bits a row", _searched(index), process_time() - started)


@contextmanager
def lite(vectors: Matrix) -> Iterator[System]:
    """Milvus Lite's own search of a file that MilvusStore wrote."""
    ids = [passage_id("", caller_id=str(row)) for row in range(len(vectors))]
    rows = {id: row for row, id in enumerate(ids)}
    started = process_time()
    field = VectorField("dense", "dense", vectors.shape[1])
    with (
        TemporaryDirectory() as folder,
        MilvusStore.open(Path(folder) / "vectors.db", fields=[field], fingerprint={}) as store,
    ):
        for start in track(range(0, len(ids), _BATCH), "into Milvus Lite"):
            some = range(start, min(start + _BATCH, len(ids)))
            store.upsert(
                [Row(Passage(ids[row], "", (EmbedText(""),), ""), {"dense": vectors[row]}) for row in some]
            )

        def search(query: FloatArray) -> list[int]:
            return [rows[id] for id, _ in store.search("dense", query, BEST)]

        yield System("Milvus Lite", "", search, process_time() - started)


def recall(search: Search, queries: Matrix, truth: Truth) -> float:
    """Of the first queries of `truth`: the mean."""
    return float(np.mean([truth.recall(number, search(query)) for number, query in enumerate(queries)]))


def figures(systems: Mapping[str, System], queries: Matrix, truth: Truth) -> dict[str, dict[str, float]]:
    """By system: recall, p50 and p99 of CPU and wall milliseconds. Systems take turns."""
    recalls = {
        name: recall(system.search, queries[: _count(name, 10)], truth) for name, system in systems.items()
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in systems}
    for turn in range(_ROUNDS):
        for name, system in systems.items():
            some = np.roll(queries, -turn * _count(name), axis=0)[: _count(name)]
            times[name].extend(_timed(system.search, some))
    return {
        name: {"recall_at_10": recalls[name]}
        | {
            f"{share}_{kind}_ms": float(np.quantile(of_kind, quantile) * 1000)
            for kind, of_kind in zip(("cpu", "wall"), zip(*pairs, strict=True), strict=True)
            for share, quantile in (("p50", 0.5), ("p99", 0.99))
        }
        for name, pairs in times.items()
    }


def _count(name: str, times: int = 1) -> int:
    return _TIMED.get(name, _OTHERS) * times


def _timed(search: Search, queries: Matrix) -> Iterator[tuple[float, float]]:
    """(CPU, wall) seconds of each query."""
    # One more, to bring back what the other systems have put out of the caches.
    search(queries[-1])
    for query in queries:
        started, used = perf_counter(), process_time()
        search(query)
        yield process_time() - used, perf_counter() - started


def _searched(index: Any) -> Search:
    return lambda query: index.search(query[None], BEST)[1][0].tolist()


def _faiss() -> Any:
    faiss: Any = require("faiss", extra="peers")
    faiss.omp_set_num_threads(1)
    return faiss
