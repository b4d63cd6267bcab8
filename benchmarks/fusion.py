"""What fusion makes of its legs without labels: each leg, RRF, min-max, adaptive, and the oracle; nDCG@10.

    python -m benchmarks.fusion --data ../shared/data/{squad-dev-A,cosqa-dev,cmrc-trial}

Every set is indexed afresh. Nothing but the oracle sees a label: it is the best, on the same queries, of
every leg alone and of every fixed weight, in steps of .1, over min-max scores. Weights that a preset sets are
taken away. Without --data one collection of made words is measured, which says that it runs, no more.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Literal

from rich.console import Console
from rich.table import Table

from benchmarks.fused import Measured, measure_set
from benchmarks.made import made_metadata, made_questions, made_texts
from rag_plugins import Config
from rag_plugins.evaluation.beir import TestSet, read_folder
from rag_plugins.fusion import Learned
from rag_plugins.types import JsonValue

_SAMPLED = 3000
"""From so many passages on, learning samples no more of them, and its seconds may be scaled to 10,000."""


def main() -> None:
    """Measure every set, print."""
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    options.add_argument("--data", type=Path, nargs="+", default=[], help="folders in BEIR format")
    options.add_argument("--preset", default="local", help="the pipeline; its rerank stages are left out")
    options.add_argument("--queries", type=int, default=1000, help="at most so many of each set")
    options.add_argument("--rerank", action="store_true", help="keep its rerank stages, and measure them too")
    options.add_argument("--rows", type=int, default=500, help="passages of the made collection")
    given = options.parse_args()
    adaptive, minmax = (_config(given.preset, method, given.rerank) for method in ("adaptive", "minmax"))
    measured: dict[str, Measured] = {}
    for name, tests in _sets(given.data, given.rows, given.queries):
        measured[name] = measure_set(tests, adaptive, minmax, name)
        print(f"{name}: {_rounded(measured[name].scores)}", flush=True)  # The next set may take minutes.
    _print(measured)
    print(json.dumps(summary(measured) | _figures(measured)))


def _config(preset: str, method: Literal["adaptive", "minmax"], rerank: bool) -> Config:
    config = Config.preset(preset)
    fusion = config.fusion.model_copy(update={"method": method})
    legs = tuple(leg.model_copy(update={"weight": None}) for leg in config.legs)
    stages = config.rerank if rerank else ()
    return config.model_copy(update={"fusion": fusion, "legs": legs, "rerank": stages})


def _sets(folders: Sequence[Path], rows: int, queries: int) -> Iterator[tuple[str, TestSet]]:
    for folder in folders:
        yield folder.name, read_folder(folder).sample(queries)
    if not folders:
        texts = made_texts(rows, seed=0)
        questions = made_questions(texts, made_metadata(rows, seed=0), min(queries, rows), seed=0)
        yield (
            "made",
            TestSet(
                corpus={str(n): text for n, text in enumerate(texts)},
                queries={str(n): question.text for n, question in enumerate(questions)},
                qrels={str(n): {str(question.source): 1} for n, question in enumerate(questions)},
            ),
        )


def summary(measured: Mapping[str, Measured]) -> dict[str, JsonValue]:
    """What is asked of the sets together."""
    each = measured.values()
    shares = {name: share for name, one in measured.items() if (share := one.share) is not None}
    large = [one for one in each if one.passages >= _SAMPLED]
    summary = {
        "worst_vs_best_leg": min(one.scores["adaptive"] - one.best_leg for one in each),
        "mean_vs_minmax": fmean(one.scores["adaptive"] - one.scores["minmax"] for one in each),
        "share_of_oracle": _mean(shares.values()),
        **{
            f"share_without_{_key(dropped)}": _mean(
                [share for name, share in shares.items() if name != dropped]
            )
            for dropped in measured
        },
        "extra_ms_per_query": max(one.extra_ms for one in each),
        "learn_seconds": max(one.wall for one in each),
        "learn_seconds_10k": max((one.wall / one.passages * 10_000 for one in large), default=None),
        "learn_cpu_seconds_10k": max((one.cpu / one.passages * 10_000 for one in large), default=None),
    }
    return _rounded(summary)


def _figures(measured: Mapping[str, Measured]) -> dict[str, JsonValue]:
    return {
        f"{system}_{_key(name)}": figure
        for name, one in measured.items()
        for system, figure in _rounded(one.scores).items()
    }


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return fmean(found) if found else None


def _rounded(values: Mapping[str, float | None]) -> dict[str, JsonValue]:
    return {name: None if value is None else round(value, 4) for name, value in values.items()}


def _key(name: str) -> str:
    return name.replace("-", "_")


def _print(measured: Mapping[str, Measured]) -> None:
    systems = next(iter(measured.values())).scores
    found = Table("set", *systems, "its weights", "share", title="nDCG@10")
    learned = Table("set", "passages", "learning, s", "CPU, s", "s / 10k", "ms / query", "learned")
    for name, one in measured.items():
        share = "" if one.share is None else f"{one.share:.2f}"
        weights = " ".join(f"{leg} {weight:g}" for leg, weight in one.oracle.items())
        found.add_row(name, *(f"{score:.3f}" for score in one.scores.values()), weights, share)
        learned.add_row(
            name,
            str(one.passages),
            f"{one.wall:.1f}",
            f"{one.cpu:.1f}",
            f"{one.wall / one.passages * 10_000:.1f}",
            f"{one.extra_ms:+.3f}",
            _worth(one.learned),
        )
    # As wide as its rows: a log file has no width, and rich would break them at 80.
    console = Console(width=None if sys.stdout.isatty() else 200)
    console.print(found)
    console.print(learned)


def _worth(learned: Learned) -> str:
    legs = [
        f"{name} x{worth.weight:g} (alone {worth.alone:.2f}, the others {worth.without:.2f})"
        for name, worth in learned.legs.items()
    ]
    return "\n".join([*legs, f"together {learned.together:.2f}, {learned.queries} queries"])


if __name__ == "__main__":
    main()
