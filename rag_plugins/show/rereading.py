"""How recognising pages anew went."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rag_plugins.ingest.rereading import RereadSummary

__all__ = ["show_reread"]


def show_reread(summary: RereadSummary) -> None:
    """What was recognised anew and how surely, what to know of it, and what could not be read."""
    console = Console()
    table = Table(box=None, show_header=False)
    rows = {
        "pages": f"{summary.pages} recognised anew, of {summary.documents} documents",
        "passages": f"{summary.changed} with another text, {summary.unchanged} with the same",
        "mean confidence": f"{_share(summary.before)} before, {_share(summary.after)} now",
        "time": f"{summary.seconds:.1f} s",
    }
    for name, value in rows.items():
        table.add_row(name, value)
    console.print(table)
    console.print(Text(str(summary)), soft_wrap=True)
    for notice in summary.notices:
        console.print(Text(f"  {notice}", style="yellow"), soft_wrap=True)
    for bad in summary.bad:
        console.print(Text(f"  {bad}", style="red"), soft_wrap=True)


def _share(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f}"
