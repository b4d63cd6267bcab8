"""Plots of what was measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag_plugins.errors import BadInput, require
from rag_plugins.funnel.trials import Trial
from rag_plugins.funnel.tuning import Tuning

if TYPE_CHECKING:
    from rag_plugins.evaluation.ceiling.levels import Ceiling, Level
    from rag_plugins.evaluation.tuning.blending import Blend
    from rag_plugins.evaluation.tuning.calibration import Calibration
    from rag_plugins.evaluation.tuning.pipeline import PipelineTuning
    from rag_plugins.evaluation.tuning.reranking import RerankTuning

__all__ = ["plot_ceiling", "plot_pipeline", "plot_reranking", "plot_tuning"]

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
    _save(figure, path)


def plot_reranking(tuning: RerankTuning, path: Path) -> None:
    """How true probabilities are on other queries, the curve of scores to them; nDCG@10 against the blend.

    As `plot_tuning` has it for `path` and errors.
    """
    figures: Any = require("matplotlib.figure", extra="evaluation")
    panels: list[Callable[[Any], None]] = []
    if fitted := tuning.calibration:
        panels += [partial(_reliability, fitted=fitted), partial(_curve, fitted=fitted)]
    if blend := tuning.blend:
        panels.append(partial(_blends, blend=blend))
    figure = figures.Figure(figsize=(5.5 * len(panels), 5), layout="constrained")
    figure.suptitle(f"rerank stage {tuning.stage}, {tuning.name}")
    for axes, draw in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        draw(axes)
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    _save(figure, path)


def plot_pipeline(tuning: PipelineTuning, path: Path) -> None:
    """What was tried, the measure against the milliseconds of a query: before, found, and what is allowed.

    As `plot_tuning` has it for `path` and errors.
    """
    figures: Any = require("matplotlib.figure", extra="evaluation")
    figure = figures.Figure(figsize=(9, 5.5), layout="constrained")
    axes = figure.add_subplot()
    axes.scatter(
        [each.milliseconds for each in tuning.tried],
        [each.value for each in tuning.tried],
        s=14,
        alpha=0.5,
        label=f"{len(tuning.tried)} tried",
    )
    found = min(tuning.tried, key=lambda each: (abs(each.value - tuning.train.after), each.milliseconds))
    for label, one, colour in (("before", tuning.default, "black"), ("found", found, "red")):
        axes.scatter([one.milliseconds], [one.value], marker="*", s=180, color=colour, label=label, zorder=3)
    if tuning.budget_ms is not None:
        axes.axvline(tuning.budget_ms, color="0.5", linestyle="--", linewidth=1, label="the most allowed")
    axes.set_xlabel("milliseconds of a query, estimated")
    axes.set_ylabel(f"{tuning.measure}, on the queries tuned on")
    axes.set_title("" if tuning.better else "kept as it was: no gain on the queries held back")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", fontsize="small")
    _save(figure, path)


def plot_ceiling(ceiling: Ceiling, path: Path) -> None:
    """nDCG@5 against character errors: plain and dual, each leg faintly, the pages' own OCR as stars.

    As `plot_tuning` has it for `path` and errors.
    """
    figures: Any = require("matplotlib.figure", extra="evaluation")
    figure = figures.Figure(figsize=(9, 5.5), layout="constrained")
    axes = figure.add_subplot()
    series: dict[str, Callable[[Level], float | None]] = {
        f"dual: {' + '.join(ceiling.dual_legs)}": lambda level: level.dual.fused,
        f"plain: {' + '.join(ceiling.plain_legs)}": lambda level: level.plain.fused,
        **{f"{leg} alone": partial(_of_leg, leg) for leg in ceiling.dual_legs},
    }
    for number, (label, value) in enumerate(series.items()):
        _by_error(axes, ceiling, label, value, main=number < 2)
    axes.axhline(
        ceiling.levels[0].plain.fused, color="0.5", linestyle="--", linewidth=1, label="plain, true text"
    )
    axes.set_xlabel("character error rate (median); stars: as the pages were recognised")
    axes.set_ylabel("nDCG@5")
    axes.set_title(f"{ceiling.name}: {ceiling.queries} queries, {ceiling.documents} documents")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left", fontsize="small")
    _save(figure, path)


def _of_leg(leg: str, level: Level) -> float | None:
    return level.legs.get(leg)


def _by_error(
    axes: Any, ceiling: Ceiling, label: str, value: Callable[[Level], float | None], main: bool
) -> None:
    style = {"linewidth": 2.0} if main else {"linewidth": 1.0, "alpha": 0.45, "linestyle": ":"}
    points = [(level.text == "OCR", level.error, value(level)) for level in ceiling.levels]
    found = [(error, score, ocr) for ocr, error, score in points if score is not None]
    made = [(error, score) for error, score, ocr in found if not ocr]
    (line,) = axes.plot([x for x, _ in made], [y for _, y in made], marker=".", label=label, **style)
    stars = [(error, score) for error, score, ocr in found if ocr]
    size, colour = (180 if main else 60), line.get_color()
    axes.scatter([x for x, _ in stars], [y for _, y in stars], marker="*", s=size, color=colour)


def _reliability(axes: Any, fitted: Calibration) -> None:
    axes.plot([0, 1], [0, 1], color="0.5", linestyle="--", linewidth=1, label="perfect")
    for quality, label in ((fitted.before, f"before: {fitted.scaling}"), (fitted.after, "isotonic")):
        said = [bin.said for bin in quality.bins]
        share = [bin.relevant for bin in quality.bins]
        (line,) = axes.plot(said, share, linewidth=1, label=f"{label}, error {quality.error:.3f}")
        # Most passages read are irrelevant, so that few stand behind a high probability.
        low, high = zip(*(_interval(bin.relevant, bin.pairs) for bin in quality.bins), strict=True)
        axes.vlines(said, low, high, color=line.get_color(), alpha=0.5)
        sizes = [15 + 400 * bin.pairs / fitted.pairs for bin in quality.bins]
        axes.scatter(said, share, s=sizes, color=line.get_color(), alpha=0.6, zorder=3)
    axes.set_xlabel("probability, as said")
    axes.set_ylabel("share that is relevant, 95 % interval")
    axes.set_title(f"{fitted.pairs:,} passages read, {fitted.base_rate:.1%} relevant")


def _interval(share: float, count: int, z: float = 1.96) -> tuple[float, float]:
    """Of a share that was counted (Wilson 1927)."""
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    reach = z / (1 + z * z / count) * (share * (1 - share) / count + z * z / (4 * count**2)) ** 0.5
    return middle - reach, middle + reach


def _curve(axes: Any, fitted: Calibration) -> None:
    scores, probabilities = zip(*fitted.curve, strict=True)
    axes.plot(scores, probabilities, marker=".", linewidth=1, label=f"{len(fitted.curve)} points")
    if (bound := fitted.suggested) is not None:
        axes.axhline(bound, color="red", linestyle="--", linewidth=1, label=f"min_score {bound:g}, suggested")
    axes.set_xlabel("score")
    axes.set_ylabel("probability")
    axes.set_title("calibration")


def _blends(axes: Any, blend: Blend) -> None:
    spread = [2 * error for error in blend.errors]
    label = "± 2 standard errors of the gain"
    axes.errorbar(blend.shares, blend.ndcg, spread, marker=".", linewidth=1, capsize=3, label=label)
    same = blend.chosen == blend.present
    stars = {"chosen, as it was": "red"} if same else {"present": "black", "chosen": "red"}
    for (name, colour), share in zip(stars.items(), (blend.present, blend.chosen), strict=False):
        axes.scatter([share], [blend.at(share)], marker="*", s=150, color=colour, label=name, zorder=3)
    axes.set_xlabel("blend: share of the rerank score")
    axes.set_ylabel("nDCG@10")
    axes.set_title(f"{blend.queries} queries")


def _save(figure: Any, path: Path) -> None:
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
