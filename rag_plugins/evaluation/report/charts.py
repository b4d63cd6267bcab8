"""Drawings for a page, in the colours that the page has, light or dark."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

from rag_plugins.errors import require
from rag_plugins.evaluation.evaluating import Evaluation
from rag_plugins.evaluation.generation import Containment
from rag_plugins.funnel.tuning import Tuning

__all__ = ["answers", "contributions", "funnel", "stages", "times"]

_INK, _SOFT, _LINE = "#010101", "#010102", "#010103"
_SERIES = ("#010111", "#010112", "#010113", "#010114")
_COLOURS = {
    _INK: "var(--ink)",
    _SOFT: "var(--soft)",
    _LINE: "var(--line)",
    **{colour: f"var(--leg-{number})" for number, colour in enumerate(_SERIES, 1)},
}
"""What is drawn with, which nothing else is, and what the page calls it."""

_WIDTH = 5.4
"""Inches: what is drawn so wide can be read on a phone."""

_STYLE = {
    "font.size": 9,
    "font.family": "sans-serif",
    "svg.fonttype": "none",
    "text.color": _INK,
    "axes.edgecolor": _LINE,
    "axes.labelcolor": _SOFT,
    "xtick.color": _SOFT,
    "ytick.color": _INK,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": _LINE,
}


def stages(evaluation: Evaluation, measure: str) -> str:
    """The measure at each stage, in the order of a search."""
    rows = {stage.label: stage.means[measure] for stage in evaluation.stages.all}
    kinds = [stage.kind for stage in evaluation.stages.all]
    with _figure(0.42 * len(rows) + 0.9) as (figure, axes):
        colours = [_SERIES[("funnel", "leg", "fusion", "rerank").index(kind)] for kind in kinds]
        axes.barh(range(len(rows)), list(rows.values()), color=colours, height=0.62)
        _named(axes, list(rows))
        _told(axes, [f"{value:.3f}" for value in rows.values()], list(rows.values()))
        axes.set_xlim(0, min(1.0, max([0.01, *rows.values()]) * 1.25))
        axes.set_xlabel(measure)
        return _svg(figure)


def contributions(shares: Mapping[str, float]) -> str:
    """Of what is relevant, the share that each leg alone, several, or none has among its ten best."""
    with _figure(0.42 * len(shares) + 0.9) as (figure, axes):
        colours = [_SERIES[min(number, len(_SERIES) - 1)] for number in range(len(shares))]
        axes.barh(range(len(shares)), list(shares.values()), color=colours, height=0.62)
        _named(axes, list(shares))
        _told(axes, [f"{100 * value:.0f} %" for value in shares.values()], list(shares.values()))
        axes.set_xlim(0, min(1.0, max([0.01, *shares.values()]) * 1.25))
        axes.set_xlabel("share of what is relevant")
        return _svg(figure)


def times(p50: Mapping[str, float], p95: Mapping[str, float]) -> str:
    """Milliseconds of each stage, p50 as a bar and p95 as a mark."""
    names = [name for name in p50 if name != "total"]
    with _figure(0.42 * len(names) + 0.9) as (figure, axes):
        axes.barh(
            range(len(names)), [p50[name] for name in names], color=_SERIES[0], height=0.62, label="p50"
        )
        axes.scatter([p95[name] for name in names], range(len(names)), color=_SERIES[1], s=22, label="p95")
        _named(axes, names)
        axes.set_xlim(left=0)
        axes.set_xlabel("milliseconds of a query")
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, borderpad=0)
        return _svg(figure)


def funnel(tuning: Tuning, present: Sequence[float] | None) -> str:
    """Recall against cost: every funnel tried, the best at each cost joined; `present`: the one in use."""
    trials = sorted(tuning.trials, key=lambda trial: trial.cost)
    best: list[tuple[float, float]] = []
    for trial in trials:
        if not best or trial.recall > best[-1][1]:
            best.append((trial.cost, trial.recall))
    with _figure(3.0) as (figure, axes):
        axes.scatter([t.cost for t in trials], [t.recall for t in trials], s=7, alpha=0.35, color=_SERIES[0])
        axes.plot(*zip(*best, strict=True), color=_SERIES[0], linewidth=1.6, label="the best at each cost")
        axes.scatter([tuning.exact_cost], [1.0], marker="D", s=30, color=_INK, label="exact search", zorder=3)
        if present:
            axes.scatter(
                *[[value] for value in present], marker="*", s=150, color=_SERIES[1], label="in use", zorder=4
            )
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("{x:g}")
        axes.set_ylim(max(0.0, min(t.recall for t in trials) - 0.02) if trials else 0.0, 1.01)
        axes.set_xlabel("microseconds of a search in memory, estimated")
        axes.set_ylabel(f"recall@{tuning.k} of the exact search")
        axes.grid(linewidth=0.6)
        axes.legend(loc="lower right")
        return _svg(figure)


def answers(found: Containment) -> str:
    """The share of answers that the LLM can read, by the tokens of its context."""
    with _figure(2.8) as (figure, axes):
        for (stage, shares), colour in zip(found.contexts.items(), _SERIES[2:], strict=False):
            axes.plot(
                list(shares), list(shares.values()), marker="o", markersize=4, color=colour, label=stage
            )
        axes.axhline(found.transcribed, color=_SOFT, linestyle="--", linewidth=1, label="in the collection")
        axes.set_xscale("log")
        axes.set_ylim(0, 1.03)
        axes.set_xlabel("tokens of the context")
        axes.set_ylabel("share of answers in it")
        axes.set_xticks(list(next(iter(found.contexts.values()))))
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.minorticks_off()
        axes.grid(linewidth=0.6)
        axes.legend(loc="lower right")
        return _svg(figure)


class _figure:
    """A figure and its axes, in the page's style."""

    def __init__(self, height: float) -> None:
        self._style = require("matplotlib", "evaluation").rc_context(_STYLE)
        self._height = height

    def __enter__(self) -> tuple[Any, Any]:
        self._style.__enter__()
        made = require("matplotlib.figure", "evaluation").Figure(
            figsize=(_WIDTH, self._height), layout="constrained"
        )
        return made, made.add_subplot()

    def __exit__(self, *exception: object) -> None:
        self._style.__exit__(*exception)


def _named(axes: Any, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), [name if len(name) <= 34 else f"{name[:33]}…" for name in names])
    axes.invert_yaxis()
    axes.tick_params(left=False)


def _told(axes: Any, figures: Sequence[str], values: Sequence[float]) -> None:
    """A figure at the end of each bar."""
    for row, (figure, value) in enumerate(zip(figures, values, strict=True)):
        axes.annotate(figure, (value, row), (4, 0), textcoords="offset points", va="center", color=_INK)


def _svg(figure: Any) -> str:
    """As it stands in a page: without a size of its own, in the page's colours."""
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    for colour, name in _COLOURS.items():
        text = text.replace(colour, name)
    return text
