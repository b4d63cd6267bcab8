"""What tuning a pipeline has found, and whether it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console

from rag_plugins.show.compared import chance, gain
from rag_plugins.show.tables import listing

if TYPE_CHECKING:
    from collections.abc import Callable

    from rag_plugins.evaluation import Difference
    from rag_plugins.evaluation.tuning.pipeline import PipelineTuning

__all__ = ["show_pipeline"]


def show_pipeline(tuning: PipelineTuning) -> None:
    """The settings that differ; the measure before and after, on queries tuned on and held back."""
    console = Console()
    settings = listing(f"{len(tuning.tried)} configurations tried", "setting", "before", "after")
    for setting in tuning.found:
        settings.add_row(setting.name, _shown(setting.before), _shown(setting.after))
    if tuning.found:
        console.print(settings)
    parts = {"tuned on": tuning.train, "held back": tuning.held_back}
    table = listing(f"{tuning.measure}, before and after", "queries", *parts)
    lines: dict[str, Callable[[Difference], str]] = {
        "how many": lambda found: str(found.better + found.worse + found.same),
        "before": lambda found: f"{found.before:.4f}",
        "after": lambda found: f"{found.after:.4f}",
        "gain, 95 %": gain,
        "p": chance,
        "better": lambda found: str(found.better),
        "worse": lambda found: str(found.worse),
    }
    for name, line in lines.items():
        table.add_row(name, *map(line, parts.values()))
    console.print(table)
    told = [
        f"Cross-validated on the queries tuned on, choosing gains {tuning.cross_validated:+.4f}.",
        f"A query held back takes {tuning.ms_before:.1f} ms before, {tuning.ms_after:.1f} ms after (p50).",
        "The settings found are used."
        if tuning.better
        else f"The settings stay as they were: {tuning.why_not}.",
    ]
    for line in told:
        console.print(line, highlight=False, markup=False)


def _shown(value: str | int | float | None) -> str:
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
