"""Whole hybrid queries: all legs of the preset `local`, fusion, a filter, whole passages; beside two peers.

    python -m benchmarks.query --rows 10000 100000

Passages, questions and vectors are made from a seed (see `benchmarks.made`); every system has the same. Each
is measured in a process of its own, on one thread, with the question's vector given. What the model's forward
pass and the reranker take on top is measured apart, with few passages, for neither depends on how many there
are. A filter passes an eighth to a quarter of the passages. The peers' legs do not all have filters, so they
search deeper and filter what comes back.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.peers.in_memory import PEERS
from benchmarks.systems import Figures, Made, ask_model, ask_ours, ask_peer, fill
from rag_plugins.errors import MissingExtra, ModelNotFound

_WITH_MODEL = 300
"""Passages that the model itself reads, at most."""

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def main() -> None:
    """Fill what is not there yet, ask every system, print."""
    options = _options()
    os.environ.update(dict.fromkeys(_THREADS, "1"))  # Of the processes that measure.
    with TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        sizes: dict[int, dict[str, Figures]] = {}
        for rows in sorted(options.rows):
            made = Made.of(rows, options.questions, options.seed)
            sizes[rows] = _asked(made, folder / f"query-{rows}-{options.seed}", options.k)
        model = _with_model(Made.of(min(_WITH_MODEL, max(options.rows)), 40, options.seed))
    _print(sizes, model)
    print(json.dumps(_flat(sizes, model)))


def _asked(made: Made, folder: Path, k: int) -> dict[str, Figures]:
    """Figures by system."""
    if not folder.exists():
        _apart(fill, made, folder)
    systems: dict[str, Figures] = _apart(ask_ours, folder, made.questions, k)
    for name in PEERS:
        try:
            systems |= _apart(ask_peer, name, made, k)
        except MissingExtra as error:
            Console(stderr=True).print(f"{name} is left out: {error}", markup=False)
    return systems


def _with_model(made: Made) -> Figures:
    try:
        return _apart(ask_model, made)
    except (MissingExtra, ModelNotFound) as error:
        Console(stderr=True).print(f"without the model: {error}", markup=False)
        return {}


def _apart(function: Callable[..., Any], *arguments: object) -> Any:
    """Call in a new process: on one thread from its first import, beside no other system's memory."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def _flat(sizes: Mapping[int, Mapping[str, Figures]], model: Figures) -> dict[str, float | None]:
    """Figures of the largest collection under plain names, all of them with system and size in the name."""
    largest = sizes[max(sizes)]
    ours = largest["ours"]
    headline = {name: ours[name] for name in ("p50_ms", "p99_ms", "open_seconds", "first_query_ms")}
    speedups = {f"speedup_vs_{peer}": _speedup(largest, peer) for peer in PEERS}
    with_model = {f"model_{name}": model.get(name) for name in ("encode_ms", "rerank_ms")}
    every = {
        f"{system.replace(', ', '_').replace(' ', '_')}_{name}_{rows}": figure
        for rows, systems in sizes.items()
        for system, figures in systems.items()
        for name, figure in figures.items()
    }
    flat = {**headline, **speedups, **with_model, **every}
    return {name: None if figure is None else round(figure, 3) for name, figure in flat.items()}


def _speedup(systems: Mapping[str, Figures], peer: str) -> float | None:
    return systems[peer]["p50_ms"] / systems["ours"]["p50_ms"] if peer in systems else None


_COLUMNS = {
    "p50 ms": "p50_ms",
    "p99 ms": "p99_ms",
    "p50 ms CPU": "cpu_p50_ms",
    "hits": "hits",
    "own found": "own_passage_found",
}


def _print(sizes: Mapping[int, Mapping[str, Figures]], model: Figures) -> None:
    console = Console()
    table = Table("rows", title="hybrid queries, without the model's forward pass")
    table.add_column("system", no_wrap=True)
    for column in _COLUMNS:
        table.add_column(column, justify="right")
    for rows, systems in sizes.items():
        for system, figures in systems.items():
            table.add_row(str(rows), system, *(f"{figures[name]:.2f}" for name in _COLUMNS.values()))
    console.print(table)
    for rows, systems in sizes.items():
        ours = systems["ours"]
        stages = (name for name in ours if name.endswith("_ms") and name not in _COLUMNS.values())
        parts = ", ".join(f"{name.removesuffix('_ms').replace('_', ' ')} {ours[name]:.2f}" for name in stages)
        opened = f"{ours['open_seconds']:.2f} s, {ours['open_cpu_seconds']:.2f} s CPU"
        console.print(f"{rows}: opened in {opened}; ms: {parts}", highlight=False)
    if model:
        console.print(
            f"model: forward pass {model['encode_ms']:.1f} ms, reranking {model['rerank_ms']:.1f} ms"
        )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000], help="passages")
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--keep", type=Path, help="a folder for the databases, which are used again")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
