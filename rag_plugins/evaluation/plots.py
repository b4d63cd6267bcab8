"""Plots of what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from rag_plugins.errors import BadInput, require
from rag_plugins.funnel.trials import Trial
from rag_plugins.funnel.tuning import Tuning

__all__ = ["plot_tuning"]

_BELOW = 0.2
"""How far below the target recall is of interest."""


def plot_tuning(tuning: Tuning, path: Path) -> None:
    """Recall against cost: a curve of keeps for each width, the funnels of more stages, the one chosen.

    The ending of `path` is the format: png, svg or pdf. Raises `MissingExtra`, `BadInput`.
    """
    figures: Any = require("matplotlib.figure", extra="evaluation")
    ticker: Any = require("matplotlib.ticker", extra="evaluation")
    figure = figures.Figure(figsize=(9, 5.5), layout="constrained")
    axes = figure.add_subplot()
    _curves(axes, tuning)
    _marks(axes, tuning)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(ticker.StrMethodFormatter("{x:,.0f}"))
    axes.xaxis.set_minor_formatter(ticker.NullFormatter())
    axes.set_ylim(max(tuning.target - _BELOW, 0.0), 1.005)
    axes.set_xlabel("cost of a search in memory, estimated, µs")
    axes.set_ylabel(f"recall@{tuning.k} of the exact search")
    axes.set_title(f"{tuning.rows:,} vectors of {tuning.dim} numbers, {tuning.queries} queries")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", fontsize="small", ncols=2)
    try:
        figure.savefig(path, dpi=144)
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: {error}") from error


def _curves(axes: Any, tuning: Tuning) -> None:
    pairs = [trial for trial in tuning.trials if len(trial.funnel.stages) == 2]
    for width, trials in groupby(pairs, key=lambda trial: trial.funnel.stages[0].width):
        curve = list(trials)
        axes.plot(_costs(curve), _recalls(curve), marker=".", linewidth=1, label=f"{width} → {tuning.dim}")


def _marks(axes: Any, tuning: Tuning) -> None:
    longer = [trial for trial in tuning.trials if len(trial.funnel.stages) > 2]
    axes.scatter(
        _costs(longer), _recalls(longer), marker="^", color="0.4", s=18, label="three stages or more"
    )
    axes.scatter([tuning.exact_cost], [1.0], marker="D", color="black", label="exact search", zorder=3)
    axes.axhline(tuning.target, color="0.5", linestyle="--", linewidth=1, label=f"target {tuning.target:g}")
    if chosen := tuning.chosen:
        label = f"chosen: {str(chosen.funnel).removeprefix('funnel ').replace('->', '→')}"
        axes.scatter(
            _costs([chosen]), _recalls([chosen]), marker="*", color="red", s=180, label=label, zorder=4
        )


def _costs(trials: Sequence[Trial]) -> list[float]:
    return [trial.cost for trial in trials]


def _recalls(trials: Sequence[Trial]) -> list[float]:
    return [trial.recall for trial in trials]
