"""What recognition costs a set of pages, and what dual mode gives back."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from rich.console import Console
from rich.text import Text

from rag_plugins.show.tables import listing

if TYPE_CHECKING:
    from rag_plugins.evaluation.levels import Ceiling, Level
    from rag_plugins.evaluation.transcription import Transcription

__all__ = ["show_ceiling"]

Column: TypeAlias = "Callable[[Level], float | None]"

_BAD = 5
"""Pages that are named of those that could not be read."""


def show_ceiling(ceiling: Ceiling) -> None:
    """A line a text: legs alone, fused, in dual mode; then how pages were read, and what an LLM replied."""
    console = Console()
    columns = _columns(ceiling)
    title = f"nDCG@5 on {ceiling.name}: {ceiling.queries} queries, {ceiling.documents} documents"
    table = listing(title, "text", *columns)
    for column in table.columns[1:]:
        column.justify, column.no_wrap = "right", False
    for level in ceiling.levels:
        table.add_row(level.text, *(_cell(column(level)) for column in columns.values()))
    console.print(table)
    for line in _legend(ceiling):
        console.print(line, highlight=False)
    for bad in ceiling.bad[:_BAD]:
        console.print(Text(f"  {bad}", style="red"), soft_wrap=True)
    _show_replies(console, ceiling)


def _columns(ceiling: Ceiling) -> dict[str, Column]:
    columns: dict[str, Column] = {"CER": lambda level: level.error}
    columns |= {name: partial(_leg, name) for name in ceiling.dual_legs}
    columns |= {"plain": lambda level: level.plain.fused, "dual": lambda level: level.dual.fused}
    columns |= {"recovered": ceiling.recovered}
    if ceiling.levels[0].plain.reranked is not None:
        columns |= {
            "plain, reranked": lambda level: level.plain.reranked,
            "dual, reranked": lambda level: level.dual.reranked,
        }
    if ceiling.answerable:
        columns |= {
            "answer, plain": lambda level: level.plain.answered,
            "answer, dual": lambda level: level.dual.answered,
        }
    return columns


def _leg(name: str, level: Level) -> float | None:
    return level.legs.get(name)


def _cell(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _legend(ceiling: Ceiling) -> list[str]:
    lines = [
        f"plain: {' + '.join(ceiling.plain_legs)}; dual: {' + '.join(ceiling.dual_legs)}",
        "CER: median character error rate; recovered: the share of what plain loses that dual gives back",
    ]
    if ceiling.answerable:
        lines.append(
            f"answer: the five passages an LLM would read contain one, {ceiling.answerable} queries have any"
        )
    return [*lines, *([_reading(ceiling.ocr)] if ceiling.ocr else [])]


def _reading(ocr: Transcription) -> str:
    return (
        f"OCR of {ocr.pages} pages: character error rate median {ocr.error_median:.3f}, "
        f"mean {ocr.error_mean:.3f}; word recall median {ocr.recall_median:.3f}, mean {ocr.recall_mean:.3f}; "
        f"nothing read of {ocr.unread}"
    )


def _show_replies(console: Console, ceiling: Ceiling) -> None:
    if not ceiling.replies:
        return
    table = listing("The LLM's replies, from what dual mode finds", "answer from", "right", "questions")
    for source, replies in ceiling.replies.items():
        table.add_row(source, f"{replies.accuracy:.3f}", str(replies.questions))
    console.print(table)
    for source, replies in ceiling.replies.items():
        if replies.failed:
            failed = f"{source}: {replies.failed} calls failed, the first: {replies.error}"
            console.print(Text(failed, style="red"), soft_wrap=True)
