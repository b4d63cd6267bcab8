"""A self-contained HTML page of questions and what was found: page images with boxes, texts, traces.

Nothing here knows which documents or questions it shows. The page asks no other machine for anything:
images are data URIs, styles are inline, and its content security policy forbids the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rag_plugins.errors import BadDocument
from rag_plugins.evidence.html import render, write
from rag_plugins.evidence.views import AnswerView, look
from rag_plugins.types import Hit

__all__ = ["Answer", "Fact", "Report", "render_report", "write_report"]


@dataclass(frozen=True, slots=True)
class Answer:
    """A question, its hits, best first, the encoded image of the first hit's page, and a remark on it."""

    question: str
    hits: tuple[Hit, ...]
    image: bytes | None = None
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Fact:
    """A figure or a setting: what it is called, its value, and what explains it."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What the page shows, in this order. Plain text throughout: whatever looks like markup is escaped."""

    title: str
    lead: str
    answers: Sequence[Answer]
    ingestion: Sequence[Fact] = ()
    bad: Sequence[BadDocument] = ()
    parts: Sequence[Fact] = ()


def render_report(report: Report) -> str:
    """The page as HTML. Raises `MissingExtra` where there are images and Pillow is absent."""
    return render(
        __package__ or __name__, "report.html.j2", report.title, report=report, views=_views(report)
    )


def write_report(report: Report, path: str | Path) -> Path:
    """Write the page, folders included; the absolute path."""
    return write(render_report(report), path)


def _views(report: Report) -> list[AnswerView]:
    return [look(answer.question, answer.hits, answer.image, answer.remark) for answer in report.answers]
