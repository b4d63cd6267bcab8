"""The pictures of the documentation: each drawn when the site is built, from what the package really does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from html import escape

from drawings import narrowing, reading, scanned, weights
from drawings.svg import Drawing

__all__ = ["DRAWINGS", "Drawing", "drawing", "figure"]

DRAWINGS: Mapping[str, Callable[[], Drawing]] = {
    "readers": reading.readers,
    "interaction": reading.interaction,
    "pairs": reading.pairs,
    "products": weights.products,
    "postings": weights.postings,
    "stages": narrowing.stages,
    "prefixes": narrowing.prefixes,
    "flow": scanned.flow,
}


@cache
def drawing(name: str) -> Drawing:
    """Drawn once a process; raises `KeyError` for an unknown name."""
    return DRAWINGS[name]()


def figure(name: str) -> str:
    """As HTML, without blank lines, so that Markdown leaves it alone."""
    drawn = drawing(name)
    return f"<figure>{drawn.svg}<figcaption>{escape(drawn.caption)}</figcaption></figure>"
