"""How fast dense vectors are searched through a funnel, beside exact searches, HNSW, PQ and Milvus Lite.

    python -m benchmarks.funnel --rows 100000 --dim 384
    python -m benchmarks.funnel --rows 100000 --dim 768
    python -m benchmarks.funnel --dim 384 --growth

384: rows and queries are alike MiniLM's (see `benchmarks.vectors`), and prefixes are of rotated vectors, as
they are in any collection. 768: alike those of a Matryoshka model, cut as they are. The funnel is tuned as
an index tunes its own, with queries that are not asked again. Systems take turns, so that what else the
machine does meets them all.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from mmap import PAGESIZE
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import neighbours
from benchmarks.neighbours import System
from benchmarks.vectors import (
    MEASURED,
    MINILM,
    Truth,
    like_matryoshka,
    like_minilm,
    prefix_recalls,
    sentences,
)
from rag_plugins.funnel import Funnel, Prefixes, Rotation
from rag_plugins.funnel.trials import candidate_widths
from rag_plugins.funnel.tuning import tune
from rag_plugins.resident import kernels
from rag_plugins.resident.dense import DenseIndex
from rag_plugins.vectors import Matrix

_SIZES = (10_000, 100_000, 1_000_000)
_SLOW = 100_000
"""With more rows HNSW takes many minutes to build, and Milvus Lite to fill."""

_TUNED_WITH = 200
_PEERS = {
    "exact": "exact, numpy",
    "flat": "exact, faiss flat",
    "hnsw": "faiss HNSW",
    "pq": "faiss PQ",
    "lite": "Milvus Lite",
}
"""Names in the JSON, and in the table."""

_TUNED, _HALVING = "funnel, tuned", "funnel, halving"


@dataclass(frozen=True, slots=True)
class Measured:
    """Of one number of rows: systems and figures by name, and how large our index is beside the vectors."""

    systems: Mapping[str, System]
    figures: Mapping[str, Mapping[str, float]]
    memory_ratio: float
    resident_ratio: float


def main() -> None:
    """Make vectors, search them in every way, print."""
    options, console = _options(), Console()
    sizes = _SIZES if options.growth else (options.rows,)
    draw = np.random.default_rng(options.seed)
    made = _made(max(sizes) + options.queries + _TUNED_WITH, options, draw)
    asked, tuned_with, vectors = np.split(made, [options.queries, options.queries + _TUNED_WITH])
    measured = {rows: _measured(rows, vectors[:rows], asked, tuned_with, options, console) for rows in sizes}
    figures = _flat(measured, options.rows)
    console.print(*(f"{name} {value}" for name, value in figures.items() if "speedup" in name), sep="\n")
    print(json.dumps(figures))


def _made(count: int, options: argparse.Namespace, draw: np.random.Generator) -> Matrix:
    if options.dim != MINILM:
        return like_matryoshka(count, options.dim, draw)
    return like_minilm(count, sentences(options.texts, options.data), draw)


def _measured(
    rows: int,
    vectors: Matrix,
    asked: Matrix,
    tuned_with: Matrix,
    options: argparse.Namespace,
    console: Console,
) -> Measured:
    rotation = None
    if options.dim == MINILM:
        rotation = Rotation.fit(vectors, max(candidate_widths(options.dim)))
        _print_prefixes(prefix_recalls(vectors, asked, rotation), rows, console)
    tuned = _tuned(vectors, tuned_with, rotation)
    kernels.loops()  # numba takes as much memory for a row as for a million.
    before = _resident()
    index = DenseIndex(options.dim)
    index.append(vectors)
    index.set_prefixes(tuned)
    resident = _resident() - before
    truth = Truth(vectors, asked)
    with ExitStack() as stack:
        systems = {system.name: system for system in _systems(index, vectors, asked, truth, rotation)}
        if rows <= _SLOW and not options.without_lite:
            lite = stack.enter_context(neighbours.lite(vectors))
            systems[lite.name] = lite
        figures = neighbours.figures(systems, asked, truth)
    measured = Measured(systems, figures, index.nbytes / vectors.nbytes, resident / vectors.nbytes)
    _print(rows, measured, console)
    return measured


def _tuned(vectors: Matrix, queries: Matrix, rotation: Rotation | None) -> Prefixes | None:
    """As an index tunes its own."""
    funnel = tune(vectors, queries, rotation=rotation, growth=2).funnel
    return Prefixes(funnel, rotation) if funnel else None


def _systems(
    index: DenseIndex, vectors: Matrix, asked: Matrix, truth: Truth, rotation: Rotation | None
) -> Iterator[System]:
    tuned = neighbours.ours(_TUNED, index)
    yield tuned
    # Of the same vectors in memory.
    full = {name: part for name, part in index.arrays().items() if name.startswith("full/")}
    halving = DenseIndex.of(full, index.dim, "float32", None)
    halving.set_prefixes(Prefixes(Funnel.halving(index.dim), rotation))
    yield neighbours.ours(_HALVING, halving)
    yield neighbours.exact(vectors)
    yield neighbours.flat(vectors)
    prefixes = index.prefixes
    yield neighbours.pq(vectors, prefixes.funnel.stages[0].width if prefixes else index.dim)
    if len(vectors) <= _SLOW:
        yield neighbours.hnsw(vectors, asked, truth, tuned)


def _flat(measured: Mapping[int, Measured], main: int) -> dict[str, float | str | None]:
    """The figures of `main` rows, or of the most rows below, and all figures with their size in the name."""
    rows = max(rows for rows in measured if rows <= max(main, min(measured)))
    one, cpu = measured[rows], {name: f["p50_cpu_ms"] for name, f in measured[rows].figures.items()}
    logs = np.log([[size, each.figures[_TUNED]["p50_cpu_ms"]] for size, each in measured.items()]).T
    figures: dict[str, Any] = {
        "recall_at_10": one.figures[_TUNED]["recall_at_10"],
        **{
            f"speedup_vs_{key}": cpu[name] / cpu[_TUNED] if name in cpu else None
            for key, name in _PEERS.items()
        },
        "exponent": float(np.polyfit(*logs, 1)[0]) if len(measured) > 1 else None,
        "memory_ratio": one.memory_ratio,
        "resident_ratio": one.resident_ratio,
        "stages": one.systems[_TUNED].setting,
    }
    for size, each in measured.items():
        for name, of_name in each.figures.items():
            key = name.replace(", ", "_").replace(" ", "_").lower()
            figures |= {f"{key}_{size}_{figure}": value for figure, value in of_name.items()}
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in figures.items()}


def _print_prefixes(recalls: Mapping[int, float], rows: int, console: Console) -> None:
    table = Table("rotated prefix", *map(str, recalls), title=f"recall@10 of prefixes alone, {rows:,} rows")
    table.add_row("these vectors", *(f"{recall:.3f}" for recall in recalls.values()))
    table.add_row("MiniLM on SQuAD", *(f"{MEASURED[width]:.3f}" for width in recalls))
    console.print(table)


def _print(rows: int, measured: Measured, console: Console) -> None:
    titles = ("recall", "p50 CPU", "p99 CPU", "p50", "p99", "x funnel", "built")
    table = Table("search, ms", *titles, title=f"{rows:,} rows")
    ours = measured.figures[_TUNED]["p50_cpu_ms"]
    for name, system in measured.systems.items():
        recall, *times = measured.figures[name].values()
        built = f"{system.build:.1f} s" if system.build else ""
        table.add_row(
            name, f"{recall:.4f}", *(f"{time:.3f}" for time in times), f"{times[0] / ours:.1f}", built
        )
    console.print(table)
    for name, system in measured.systems.items():
        if system.setting:
            console.print(f"{name}: {system.setting}")
    console.print(
        f"memory: {measured.memory_ratio:.3f} of the raw vectors; the process grew by "
        f"{measured.resident_ratio:.3f} of them\n"
    )


def _resident() -> float:
    """Bytes of this process in memory; not a number where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * PAGESIZE
    except OSError:
        return float("nan")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument(
        "--dim", type=int, default=MINILM, help="384: alike MiniLM's; others: Matryoshka-like"
    )
    parser.add_argument("--growth", action="store_true", help="10k, 100k and 1M rows, and how the cost grows")
    parser.add_argument("--queries", type=int, default=400, help="that recall is measured with")
    parser.add_argument(
        "--texts", type=int, default=2000, help="real ones that MiniLM-like vectors are made of"
    )
    parser.add_argument(
        "--data", type=Path, nargs="*", default=[], help="folders in BEIR format to take them from"
    )
    parser.add_argument("--without-lite", action="store_true", help="do not fill a Milvus Lite file")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
