"""Pictures as SVG that goes into a page: its text is the page's, its colours follow light and dark."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from math import log10

__all__ = ["COOL", "INK", "SMALL", "WARM", "WIDTH", "Canvas", "Drawing", "LogScale", "shown"]

WIDTH = 380
"""Units across: about the pixels of a phone, so that text keeps its size there."""

SMALL = 12
INK = "currentColor"
COOL = "var(--md-typeset-a-color, #4051b5)"
WARM = "#d9730d"

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Drawing:
    """An SVG element, and what it shows in a sentence or two."""

    svg: str
    caption: str


@dataclass(frozen=True, slots=True)
class LogScale:
    """Numbers from `low` to `high` to units from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Where a number stands."""
        share = (log10(value) - log10(self.low)) / (log10(self.high) - log10(self.low))
        return self.start + share * (self.end - self.start)


class Canvas:
    """Collects shapes; units are pixels of a narrow screen, y grows downwards."""

    def __init__(self, height: float) -> None:
        self._height = height
        self._parts: list[str] = []

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: int = 13,
        anchor: str = "start",
        tone: str = INK,
        bold: bool = False,
        turn: int = 0,
    ) -> None:
        """A line of text on its base line."""
        weight = ' font-weight="700"' if bold else ""
        turned = f' transform="rotate({turn} {x:.1f} {y:.1f})"' if turn else ""
        self._parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{tone}"'
            f"{weight}{turned}>{escape(text)}</text>"
        )

    def lines(self, x: float, y: float, lines: Iterable[str], *, size: int = SMALL, tone: str = INK) -> None:
        """Lines of text, one under another."""
        for n, line in enumerate(lines):
            self.text(x, y + n * (size + 4), line, size=size, tone=tone)

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        *,
        tone: str = INK,
        fill: float = 0.0,
        edge: float = 1.0,
        dashed: bool = False,
        round: float = 3,
    ) -> None:
        """A rectangle; `fill` and `edge` are opacities."""
        dash = ' stroke-dasharray="4 3"' if dashed else ""
        self._parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="{round}" '
            f'fill="{tone}" fill-opacity="{fill:.2f}" stroke="{tone}" stroke-opacity="{edge}"{dash}/>'
        )

    def line(self, points: Sequence[Point], *, tone: str = INK, width: float = 1, opacity: float = 1) -> None:
        """A line through points."""
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self._parts.append(
            f'<polyline points="{joined}" fill="none" stroke="{tone}" stroke-width="{width}" '
            f'stroke-opacity="{opacity}"/>'
        )

    def arrow(self, start: Point, end: Point, *, tone: str = INK) -> None:
        """Straight, to the right or down."""
        self.line([start, end], tone=tone)
        (x, y), down = end, start[0] == end[0]
        wings = [(x - 4, y - 6), (x + 4, y - 6)] if down else [(x - 6, y - 4), (x - 6, y + 4)]
        joined = " ".join(f"{a:.1f},{b:.1f}" for a, b in (end, *wings))
        self._parts.append(f'<polygon points="{joined}" fill="{tone}"/>')

    def dot(self, x: float, y: float, *, tone: str = INK) -> None:
        """A measured point."""
        self._parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{tone}"/>')

    def drawing(self, label: str, caption: str) -> Drawing:
        """What was drawn; `label` is for those who do not see it."""
        svg = (
            f'<svg data-search-exclude="" viewBox="-1 -1 {WIDTH + 2} {self._height + 2:.0f}" role="img" '
            f'aria-label="{escape(label)}" '
            'xmlns="http://www.w3.org/2000/svg" style="width:100%;max-width:520px" '
            f'font-family="inherit">{"".join(self._parts)}</svg>'
        )
        return Drawing(svg, caption)


def shown(number: float) -> str:
    """Two decimals, as scores are told here: 2.03, .52."""
    text = f"{number:.2f}"
    return text.replace("0.", ".", 1) if abs(number) < 1 and text.lstrip("-")[0] == "0" else text
