"""What recognition costs a set of pages, and what dual mode gives back."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from rich.console import Console
from rich.text import Text

from rag_plugins.show.tables import listing

if TYPE_CHECKING:
    from rag_plugins.evaluation.ceiling.levels import Ceiling, Level
    from rag_plugins.evaluation.ceiling.transcription import Transcription

__all__ = ["show_ceiling"]

Value: TypeAlias = "Callable[[Level], float | None]"

_BAD = 5
"""Pages that are named of those that could not be read."""


def show_ceiling(ceiling: Ceiling) -> None:
    """A column a text: legs alone, fused, in dual mode; then how pages were read, and what an LLM replied."""
    console = Console()
    title = f"nDCG@5 on {ceiling.name}: {ceiling.queries} queries, {ceiling.documents} documents"
    table = listing(title, "", *(level.text for level in ceiling.levels))
    for column in table.columns[1:]:
        column.justify = "right"
    for name, value in _rows(ceiling).items():
        table.add_row(name, *(_cell(value(level)) for level in ceiling.levels))
    console.print(table)
    for line in _legend(ceiling):
        console.print(line, highlight=False)
    for bad in ceiling.bad[:_BAD]:
        console.print(Text(f"  {bad}", style="red"), soft_wrap=True)
    _show_replies(console, ceiling)


def _rows(ceiling: Ceiling) -> dict[str, Value]:
    rows: dict[str, Value] = {"character errors": lambda level: level.error}
    rows |= {name: partial(_leg, name) for name in ceiling.dual_legs}
    rows |= {"plain": lambda level: level.plain.fused, "dual": lambda level: level.dual.fused}
    rows |= {"dual gives back": ceiling.recovered}
    if ceiling.levels[0].plain.reranked is not None:
        rows |= {
            "plain, reranked": lambda level: level.plain.reranked,
            "dual, reranked": lambda level: level.dual.reranked,
        }
    if ceiling.answerable:
        rows |= {
            "plain, answered": lambda level: level.plain.answered,
            "dual, answered": lambda level: level.dual.answered,
        }
    return rows


def _leg(name: str, level: Level) -> float | None:
    return level.legs.get(name)


def _cell(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _legend(ceiling: Ceiling) -> list[str]:
    lines = [
        f"plain: {' + '.join(ceiling.plain_legs)}; dual: {' + '.join(ceiling.dual_legs)}",
        "character errors: the median page's; gives back: of what plain loses, if that is .02 or more",
    ]
    if ceiling.answerable:
        lines.append(f"answered: of {ceiling.answerable} queries with answers, by what an LLM would read")
    return [*lines, *([_reading(ceiling.ocr)] if ceiling.ocr else [])]


def _reading(ocr: Transcription) -> str:
    return (
        f"OCR of {ocr.pages} pages: character errors median {ocr.error_median:.3f}, mean "
        f"{ocr.error_mean:.3f}; words found again median {ocr.recall_median:.3f}, mean "
        f"{ocr.recall_mean:.3f}; nothing read of {ocr.unread}"
    )


def _show_replies(console: Console, ceiling: Ceiling) -> None:
    if not ceiling.replies:
        return
    table = listing(
        "Replies of the LLM to what dual mode finds", "answered from", "right", "questions", "failed"
    )
    for source, replies in ceiling.replies.items():
        table.add_row(source, f"{replies.accuracy:.3f}", str(replies.questions), str(replies.failed))
    console.print(table)
    for source, replies in ceiling.replies.items():
        if replies.failed:
            console.print(
                Text(f"{source}, the first that failed: {replies.error}", style="red"), soft_wrap=True
            )
