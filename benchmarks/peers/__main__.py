"""Ours beside the peers, on the same texts and vectors: nDCG@10, Recall@100, times, memory.

    python -m benchmarks.peers --data ../shared/data/{squad-dev-A,cosqa-dev,tldr-en,medquad-eval}

Every system runs in a process of its own, one after the other, on the vectors of the bi-encoder of --preset.
All times are without encoding: what it made of a text is kept, so that a first run takes longer. Peers that
take long are asked at most --slow questions, drawn with a fixed seed, and compared with ours on the same
ones. Those that do not go with the others run in an environment that `make peers` makes, and are left out
without it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.peers.systems import SYSTEMS
from rag_plugins.errors import RagPluginsError, require
from rag_plugins.evaluation.beir import TestSet, read_folder
from rag_plugins.evaluation.measures import measure, named

_K = 100
_MEASURES = named(["nDCG@10", "Recall@100"])
_OURS = {"ours_fused": "ours, fused", "ours_reranked": "ours, reranked"}
_ALONE = Path(".venv-peers/bin/python")
_SEED = 0
_QUESTIONS = "question_vectors.npy"
_CACHE = Path.home() / ".cache" / "rag-plugins" / "benchmarks"


@dataclass(frozen=True, slots=True)
class Measured:
    """One system on one set; what ours has, fused and reranked, on the questions that it was asked."""

    ndcg: float
    recall: float
    build_seconds: float
    build_cpu: float
    p50_ms: float
    p99_ms: float
    mb: float
    questions: int
    ours_fused: float
    ours_reranked: float


def main() -> None:
    """Measure every set, print."""
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    options.add_argument("--data", type=Path, nargs="+", required=True, help="folders in BEIR format")
    options.add_argument("--preset", default="local", help="our pipeline")
    options.add_argument("--queries", type=int, default=1000, help="at most so many of each set")
    options.add_argument("--slow", type=int, default=300, help="at most so many of them for slow peers")
    options.add_argument("--peers", nargs="*", choices=SYSTEMS, default=list(SYSTEMS), help="which")
    options.add_argument("--cache", type=Path, default=_CACHE, help="where vectors are kept")
    options.add_argument("--plot", type=Path, help="quality against time: .svg, .png or .pdf")
    given = options.parse_args()
    sets: dict[str, dict[str, Measured]] = {}
    with TemporaryDirectory() as scratch:
        for folder in given.data:
            tests = read_folder(folder).sample(given.queries)
            sets[folder.name] = _measured(tests, Path(scratch) / folder.name, given)
            _print(folder.name, len(tests.corpus), sets[folder.name])
    if given.plot:
        _plot(sets, given.plot)
    print(json.dumps(summary(sets)))


def _measured(tests: TestSet, folder: Path, given: argparse.Namespace) -> dict[str, Measured]:
    folder.mkdir(parents=True)
    documents = list(tests.corpus)
    (folder / "texts.json").write_text(json.dumps(list(tests.corpus.values())), encoding="utf-8")
    _ask(folder, tests.queries)
    ours = _run(sys.executable, "benchmarks.peers.ours", folder, given.preset, _K, given.cache)
    (folder / _QUESTIONS).rename(folder / "all.npy")
    rankings = {"ours_fused": ours["found"], "ours_reranked": ours["reranked"]}
    found = {
        name: _figures(tests, documents, ranking, rankings, ours | {"ms": _ours_ms(ours, name)})
        for name, ranking in rankings.items()
    }
    for name in given.peers:
        system = SYSTEMS[name]
        python = str(_ALONE) if system.alone else sys.executable
        if system.alone and not _ALONE.exists():
            Console(stderr=True).print(f"{name} is left out: `make peers` makes its environment")
            continue
        asked = _drawn(tests.queries, given.slow) if system.slow else tests.queries
        _ask(folder, asked, list(tests.queries))
        try:
            peer = _run(python, "benchmarks.peers.worker", name, folder, _K)
        except RagPluginsError as error:
            Console(stderr=True).print(f"{name} is left out: {error}", markup=False)
            continue
        part = TestSet(tests.corpus, asked, {id: tests.qrels[id] for id in asked})
        found[name] = _figures(part, documents, peer["found"], rankings, peer)
    return found


def _drawn(queries: Mapping[str, str], count: int) -> dict[str, str]:
    if len(queries) <= count:
        return dict(queries)
    return {id: queries[id] for id in sorted(random.Random(_SEED).sample(sorted(queries), count))}


def _ask(folder: Path, queries: Mapping[str, str], every: Sequence[str] = ()) -> None:
    """What the next process is asked, with the vectors that are known of `every` query by now."""
    if every:
        known = dict(zip(every, np.load(folder / "all.npy"), strict=True))
        np.save(folder / _QUESTIONS, np.stack([known[id] for id in queries]))
    (folder / "questions.json").write_text(json.dumps(dict(queries)), encoding="utf-8")


def _run(python: str, module: str, *arguments: object) -> dict[str, Any]:
    """The last line that a process prints. Raises `RagPluginsError` where it fails."""
    done = subprocess.run(
        [python, "-m", module, *map(str, arguments)],
        env={**os.environ, "TOKENIZERS_PARALLELISM": "false"},
        stdout=subprocess.PIPE,
        stderr=None if sys.stderr.isatty() else subprocess.PIPE,
        text=True,
    )
    if done.returncode:
        raise RagPluginsError(f"{module} ended with {done.returncode}: {(done.stderr or '').strip()[-300:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _ours_ms(ours: Mapping[str, Any], name: str) -> list[float]:
    if name == "ours_fused":
        return ours["ms"]
    return [ms + more for ms, more in zip(ours["ms"], ours["rerank_ms"], strict=True)]


def _figures(
    tests: TestSet,
    documents: Sequence[str],
    found: Mapping[str, Sequence[int]],
    ours: Mapping[str, Mapping[str, Sequence[int]]],
    figures: Mapping[str, Any],
) -> Measured:
    values = _values(tests, documents, found)
    own = {name: _values(tests, documents, ranking)["nDCG@10"] for name, ranking in ours.items()}
    return Measured(
        ndcg=values["nDCG@10"],
        recall=values["Recall@100"],
        build_seconds=figures["build_seconds"],
        build_cpu=figures["build_cpu"],
        p50_ms=float(np.quantile(figures["ms"], 0.5)),
        p99_ms=float(np.quantile(figures["ms"], 0.99)),
        mb=figures["mb"],
        questions=len(tests.qrels),
        ours_fused=own["ours_fused"],
        ours_reranked=own["ours_reranked"],
    )


def _values(tests: TestSet, documents: Sequence[str], found: Mapping[str, Sequence[int]]) -> dict[str, float]:
    run = {
        query: {documents[row]: float(_K - rank) for rank, row in enumerate(dict.fromkeys(found[query]))}
        for query in tests.qrels
    }
    return measure(run, tests.qrels, _MEASURES)


def summary(sets: Mapping[str, Mapping[str, Measured]]) -> dict[str, Any]:
    """Means over the sets; the one peer with the highest; how far ours is above the best peer of each set.

    A peer that was asked fewer questions is lifted by what ours has on all of them over those.
    """
    peers = [
        name
        for name in next(iter(sets.values()))
        if name not in _OURS and all(name in of for of in sets.values())
    ]
    means = {name: fmean(_comparable(of, name) for of in sets.values()) for name in (*_OURS, *peers)}
    best = max(peers, key=lambda name: means[name], default=None)
    margins = {
        name: of["ours_fused"].ndcg - max(_comparable(of, peer) for peer in peers)
        for name, of in sets.items()
        if peers
    }
    return {
        "ours_fused": round(means["ours_fused"], 4),
        "ours_reranked": round(means["ours_reranked"], 4),
        "best_peer": None if best is None else round(means[best], 4),
        "best_peer_name": best,
        "worst_vs_set_best": round(min(margins.values()), 4) if margins else None,
        "sets": {
            name: {
                system: {
                    "ndcg@10": round(one.ndcg, 4),
                    "comparable": round(_comparable(of, system), 4),
                    "recall@100": round(one.recall, 4),
                    "p50_ms": round(one.p50_ms, 2),
                    "p99_ms": round(one.p99_ms, 2),
                    "build_seconds": round(one.build_seconds, 1),
                    "mb": round(one.mb),
                    "questions": one.questions,
                }
                for system, one in of.items()
            }
            for name, of in sets.items()
        },
    }


def _comparable(of: Mapping[str, Measured], name: str) -> float:
    return of[name].ndcg + of["ours_fused"].ndcg - of[name].ours_fused


def _print(name: str, documents: int, found: Mapping[str, Measured]) -> None:
    table = Table(
        "system",
        "nDCG@10",
        "Recall@100",
        "index, s",
        "query p50, ms",
        "p99",
        "MB",
        "questions",
        "ours on these",
        title=f"{name}: {documents} documents",
    )
    for system, one in found.items():
        title = _OURS.get(system) or SYSTEMS[system].title
        row = (f"{one.ndcg:.3f}", f"{one.recall:.3f}", f"{one.build_seconds:.1f}", f"{one.p50_ms:.1f}")
        table.add_row(
            title,
            *row,
            f"{one.p99_ms:.1f}",
            f"{one.mb:.0f}",
            str(one.questions),
            f"{one.ours_fused:.3f} / {one.ours_reranked:.3f}",
        )
    Console(width=None if sys.stdout.isatty() else 180).print(table)


def _plot(sets: Mapping[str, Mapping[str, Measured]], path: Path) -> None:
    figures: Any = require("matplotlib.figure", extra="evaluation")
    figure = figures.Figure(figsize=(11, 4.8), layout="constrained")
    axes = figure.add_subplot()
    for name, points in _points(sets):
        axes.scatter(
            *points, s=60, marker="*" if name in _OURS else "o", label=_OURS.get(name) or SYSTEMS[name].title
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("milliseconds of a query, p50, mean over the sets")
    axes.set_ylabel("nDCG@10, mean over the sets")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize="small")
    figure.savefig(path, dpi=144)


def _points(
    sets: Mapping[str, Mapping[str, Measured]],
) -> Iterator[tuple[str, tuple[list[float], list[float]]]]:
    for name in (*_OURS, *SYSTEMS):
        ones = [of[name] for of in sets.values() if name in of]
        if len(ones) == len(sets):
            times, values = (
                fmean(one.p50_ms for one in ones),
                fmean(_comparable(of, name) for of in sets.values()),
            )
            yield name, ([times], [values])


if __name__ == "__main__":
    main()
