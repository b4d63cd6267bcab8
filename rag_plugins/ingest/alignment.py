"""Words that were recognised, laid over the words of a text layer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rag_plugins.ingest.text import Piece
from rag_plugins.types import Word
from rag_plugins.vectors import FloatArray

__all__ = ["TURNS", "nearest", "owners"]

TURNS = (
    ((1, 0, 0), (0, 1, 0)),
    ((0, 1, 0), (-1, 0, 1)),
    ((-1, 0, 1), (0, -1, 1)),
    ((0, -1, 1), (1, 0, 0)),
)
"""From a page that was turned so many quarters clockwise before it was read to the page as it is: rows for x
and y, of (x, y, 1)."""

_TIE = 1e-6
"""What the distance to a word's centre weighs beside that to its box."""

_ROWS = 256
"""Pieces compared at once with all words."""


def owners(pieces: Sequence[Piece], words: Sequence[Word], text: str) -> list[int]:
    """For each piece the word whose box its centre lies in or, failing that, comes closest to.

    Recognition may have turned the page: of the four ways to lay it, that on which most words agree.
    `words`, at least one, are spans into `text`.
    """
    if not pieces:
        return []
    boxes = [piece.box for piece in pieces]
    centres = np.array([[(box.left + box.right) / 2, (box.top + box.bottom) / 2, 1.0] for box in boxes])
    spelled = [text[word.start : word.end] for word in words]
    best: tuple[int, list[int]] = (-1, [])
    for turn in TURNS:
        found = nearest(centres @ np.array(turn).T, words)
        agree = sum(piece.text == spelled[owner] for piece, owner in zip(pieces, found, strict=True))
        best = max(best, (agree, found), key=lambda tried: tried[0])
        if 2 * agree > len(pieces):
            break
    return best[1]


def nearest(points: FloatArray, words: Sequence[Word]) -> list[int]:
    """For each point (n, 2) the word, of at least one, whose box it lies in or else comes closest to."""
    boxes = [word.box for word in words]
    left, top, right, bottom = np.array([[box.left, box.top, box.right, box.bottom] for box in boxes]).T
    found: list[int] = []
    for at in range(0, len(points), _ROWS):
        x, y = points[at : at + _ROWS, :1], points[at : at + _ROWS, 1:]
        across = np.maximum(np.maximum(left - x, x - right), 0)
        down = np.maximum(np.maximum(top - y, y - bottom), 0)
        middle = (x - (left + right) / 2) ** 2 + (y - (top + bottom) / 2) ** 2
        found += np.argmin(across**2 + down**2 + _TIE * middle, axis=1).tolist()
    return found
