"""Blocks to a PDF with a text layer, by reportlab; `invariant` leaves the date out, so bytes repeat."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from markup import Block, Table
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle, getSampleStyleSheet
from reportlab.lib.units import cm
from reportlab.platypus import Flowable, PageBreak, Paragraph, SimpleDocTemplate, Spacer, TableStyle
from reportlab.platypus import Table as Grid

_STYLES = getSampleStyleSheet()
_BODY = ParagraphStyle("body", parent=_STYLES["BodyText"], fontSize=10.5, leading=15)
_BY_KIND = {"title": _STYLES["Title"], "section": _STYLES["Heading2"], "subsection": _STYLES["Heading3"]}
_ACCENT = colors.HexColor("#1f4e5f")


def as_pdf(pages: Sequence[Sequence[Block | Table]], title: str) -> bytes:
    """One PDF page for each page of blocks."""
    out = io.BytesIO()
    story: list[Flowable] = []
    for number, blocks in enumerate(pages):
        story += [PageBreak()] if number else []
        story += [flowable for block in blocks for flowable in _flowables(block)]
    margin = 2.2 * cm
    document = SimpleDocTemplate(
        out, pagesize=A4, title=title, author="Tornvik Pumpworks", invariant=1,
        leftMargin=margin, rightMargin=margin, topMargin=margin, bottomMargin=margin,
    )  # fmt: skip
    document.build(story)
    return out.getvalue()


def _flowables(block: Block | Table) -> Iterator[Flowable]:
    if isinstance(block, Table):
        yield _grid(block)
        yield Spacer(1, 10)
    else:
        yield Paragraph(_rich(block.text), _BY_KIND.get(block.kind, _BODY))


def _rich(text: str) -> str:
    return re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", escape(text))


def _grid(table: Table) -> Grid:
    rows = [[Paragraph(_rich(cell), _BODY) for cell in row] for row in (table.head, *table.rows)]
    grid = Grid(rows, hAlign="LEFT", repeatRows=1)
    grid.setStyle(
        TableStyle(
            [
                ("LINEBELOW", (0, 0), (-1, 0), 1.2, _ACCENT),
                ("LINEBELOW", (0, 1), (-1, -1), 0.4, colors.lightgrey),
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ]
        )
    )
    return grid
