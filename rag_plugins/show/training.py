"""What will be trained and how long it takes; what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console

from rag_plugins.show.tables import listing

if TYPE_CHECKING:
    from rag_plugins.training import Plan, Trained

__all__ = ["show_plan", "show_trained"]

_MINUTE = 60
_HOUR = 60 * _MINUTE


def show_plan(plan: Plan) -> None:
    """A line a fact."""
    task, settings = plan.task, plan.task.settings
    console = Console()
    table = listing(f"{task.kind}: what will be trained", "", "", wrapped=1)
    mined = ", mined first" if plan.mined else ""
    rows = {
        "from": task.model,
        "for": f"{'rerank stage' if task.kind == 'reranker' else 'leg'} {task.name}",
        "loss": settings.loss,
        "widths": ", ".join(map(str, plan.widths)),
        "pairs": f"{plan.train} to learn from, {plan.dev} to measure by",
        "hard negatives": f"{plan.negatives:.2g} a query{mined}",
        "steps": f"{plan.steps} of {settings.batch}, {plan.step_seconds:.2g} s each",
        "seed": str(settings.seed),
        "expected time here": _time(plan.seconds) + (", without mining" if plan.mined else ""),
    }
    for name, value in rows.items():
        if value:
            table.add_row(name, value)
    console.print(table)
    for line in plan.bad:
        console.print(f"left out: {line}", highlight=False, markup=False)


def show_trained(trained: Trained) -> None:
    """The loss and the dev measure on the way; by width, or how sparse, before and after."""
    console = Console()
    outcome = trained.outcome
    title = f"{trained.pairs} pairs, {outcome.steps} steps in {_time(outcome.seconds)}"
    table = listing(title, "step", "loss", f"{outcome.measure} on {trained.dev} pairs")
    table.add_row("0", "", f"{outcome.before:.4f}")
    for at in outcome.history:
        table.add_row(str(at.step), "" if at.loss is None else f"{at.loss:.4f}", f"{at.value:.4f}")
    console.print(table)
    if trained.widths:
        title = f"By the width of the prefix: {outcome.measure} among the texts of these pairs"
        table = listing(title, "width", "before", "after", "gain")
        for width, (before, after) in trained.widths.items():
            table.add_row(str(width), f"{before:.4f}", f"{after:.4f}", f"{after - before:+.4f}")
        console.print(table)
    if trained.sparsity:
        names = ("non-zeros of a query", "of a passage", "postings of a million passages")
        table = listing("How sparse", "", *names)
        for when, each in zip(("before", "after"), trained.sparsity, strict=True):
            size = f"{each.postings_bytes / 1e6:.0f} MB"
            table.add_row(when, f"{each.query:.1f}", f"{each.document:.1f}", size)
        console.print(table)
    if mined := trained.mined:
        kept = f"{mined.of_the_document} of the same document, {mined.the_same} nearly the same text"
        console.print(
            f"Kept out of the negatives: {kept}, {mined.too_good} as good as the answer.", highlight=False
        )


def _time(seconds: float) -> str:
    if seconds < _MINUTE:
        return f"{seconds:.2g} s"
    return f"{seconds / _MINUTE:.0f} min" if seconds < _HOUR else f"{seconds / _HOUR:.1f} h"
