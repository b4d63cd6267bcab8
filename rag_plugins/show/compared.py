"""Two evaluations side by side: measures, and the queries that changed most with what was found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from rag_plugins.show.tables import listing

if TYPE_CHECKING:
    from rag_plugins.evaluation import Change, Comparison, Difference, Record

__all__ = ["chance", "gain", "show_comparison"]

_QUERIES = 5
"""Shown of those that got better, and of those that got worse."""

_FOUND = 3
_WIDTH = 60
"""Characters of a text in a row."""


def show_comparison(compared: Comparison, before: Record, after: Record) -> None:
    """Measures with their significance; then queries that got worse or better, and what was found."""
    console = Console()
    title = f"{compared.before} -> {compared.after}, {len(compared.changes)} queries"
    table = listing(title, "measure", "before", "after", "gain, 95 %", "p", "better", "worse")
    for name, found in compared.differences.items():
        row = (f"{found.before:.4f}", f"{found.after:.4f}", gain(found), chance(found))
        table.add_row(
            name,
            *row,
            str(found.better),
            str(found.worse),
            style="bold" if found.significant else None,
        )
    console.print(table)
    console.print(
        "Bold: a difference that chance alone makes less than once in 20 (paired t-test).", highlight=False
    )
    if compared.left_out:
        console.print(f"{compared.left_out} queries are in one of them alone, or judged otherwise: left out")
    for kind, changes in (("worse", compared.worse), ("better", compared.better)):
        for change in changes[:_QUERIES]:
            _show_change(console, kind, change, before, after)


def gain(found: Difference) -> str:
    """And between which bounds around it, with 95 % confidence."""
    bounds = "" if found.low != found.low else f" ± {(found.high - found.low) / 2:.4f}"
    return f"{found.gain:+.4f}{bounds}"


def chance(found: Difference) -> str:
    """Of a difference as large where there is none."""
    return "" if found.p != found.p else "<.0001" if found.p < 0.0001 else f"{found.p:.4f}"


def _show_change(console: Console, kind: str, change: Change, before: Record, after: Record) -> None:
    title = f"{kind}, {change.before:.3f} -> {change.after:.3f}: {change.text}"
    table = listing(title, "", "before", "after", wrapped=0)
    grades = after.qrels[change.query]
    for rank in range(min(_FOUND, max(len(change.found_before), len(change.found_after)))):
        cells = (
            _cell(found, rank, run, [id for id, grade in grades.items() if grade > 0])
            for found, run in ((change.found_before, before), (change.found_after, after))
        )
        table.add_row(str(rank + 1), *cells)
    console.print(table)


def _cell(found: Sequence[str], rank: int, run: Record, relevant: Sequence[str]) -> Text:
    if rank >= len(found):
        return Text("")
    text = run.texts.get(found[rank])
    words = " ".join(text.text.split()) if text else ""
    shown = f"{text.place if text else found[rank]}: {words}"
    cut = shown if len(shown) <= _WIDTH else shown[: _WIDTH - 1] + "…"
    return Text(f"{'✓ ' if found[rank] in relevant else ''}{cut}")
