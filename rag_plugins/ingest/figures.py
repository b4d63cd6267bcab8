"""Figures: large regions of ink without words, found on a small copy of the page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rag_plugins.types import Box, Word

__all__ = ["figures", "is_blank"]

CELLS = 96
"""Cells along the longer side of a page: two to a line of print."""

POINTS = 4
"""Points of the small copy along a cell's side; a line through it is one of them wide."""

INKED = 3
"""Points of ink that make a cell one of ink: fewer are specks."""

CONTRAST = 24
"""Levels of grey between paper and ink: a line of one point at 300 dpi keeps so many of its 255."""

EDGE = 2
"""Cells along the edges in which scanners leave shadows."""

GAP = 2
"""Empty cells that there may be between the parts of one figure."""

CLOSE = 4
"""Cells between two figures at least."""

SIDE = 0.08
"""What a figure has at least of the page's width and of its height."""

FRAME = 0.85
"""What a frame around the page has of them at least; a figure so large is not hollow."""

HOLLOW = 0.12

WORDY = 0.15
"""Share of a region covered by words above which it is text: a table with lines, for one."""

SURE = 0.5
"""Confidence of a recognised word below which it may be a part of a picture."""

BLANK = 6
"""Cells of ink that dirt may make of an empty page."""

Cells = NDArray[np.bool_]
Region = tuple[int, int, int, int]
"""First row and column, row and column after the last."""


def is_blank(image: Image.Image) -> bool:
    """Whether there is nothing on this page."""
    return int(_inked(image).sum()) <= BLANK


def figures(image: Image.Image, words: Sequence[Word]) -> tuple[Box, ...]:
    """Where figures are on a page whose text is known, from the top; large ones only."""
    ink = _inked(image)
    text = np.zeros_like(ink)
    for word in words:
        if word.confidence is None or word.confidence >= SURE:
            text[_covered(word.box, ink.shape)] = True
    around = text.copy()  # Underlines, and what a box has cut off its letters.
    around[1:] |= text[:-1]
    around[:-1] |= text[1:]
    found = _merged(region for region, full in _regions(ink & ~around) if _is_large(region, full, ink.shape))
    return tuple(_box(region, ink.shape) for region in sorted(found) if text[_slices(region)].mean() < WORDY)


def _inked(image: Image.Image) -> Cells:
    """Cells that are not paper, which is the most frequent grey."""
    width, height = image.size
    columns = max(1, round(CELLS * width / max(width, height)))
    rows = max(1, round(CELLS * height / max(width, height)))
    small = image.convert("L").resize((columns * POINTS, rows * POINTS), Image.Resampling.BOX)
    grey = np.asarray(small, dtype=np.int16)
    paper = 8 * int(np.bincount(grey.ravel() >> 3).argmax()) + 4
    ink = np.abs(grey - paper) > CONTRAST
    cells = ink.reshape(rows, POINTS, columns, POINTS).sum(axis=(1, 3)) >= INKED
    cells[:EDGE] = cells[-EDGE:] = False
    cells[:, :EDGE] = cells[:, -EDGE:] = False
    return cells


def _covered(box: Box, shape: tuple[int, ...]) -> tuple[slice, slice]:
    rows, columns = shape
    return (
        slice(floor(box.top * rows), ceil(box.bottom * rows)),
        slice(floor(box.left * columns), ceil(box.right * columns)),
    )


def _slices(region: Region) -> tuple[slice, slice]:
    top, left, bottom, right = region
    return slice(top, bottom), slice(left, right)


def _box(region: Region, shape: tuple[int, ...]) -> Box:
    top, left, bottom, right = region
    rows, columns = shape
    return Box(left / columns, top / rows, right / columns, bottom / rows)


def _regions(ink: Cells) -> Iterator[tuple[Region, int]]:
    """What hangs together, but for gaps, and how many cells of ink it has."""
    left = {(int(row), int(column)) for row, column in np.argwhere(ink)}
    steps = list(product(range(-GAP - 1, GAP + 2), repeat=2))
    while left:
        region = [left.pop()]
        for row, column in region:  # It grows while it is read.
            near = left.intersection((row + down, column + across) for down, across in steps)
            left -= near
            region += near
        rows, columns = zip(*region, strict=True)
        yield (min(rows), min(columns), max(rows) + 1, max(columns) + 1), len(region)


def _is_large(region: Region, full: int, shape: tuple[int, ...]) -> bool:
    top, left, bottom, right = region
    high, wide = (bottom - top) / shape[0], (right - left) / shape[1]
    frame = min(high, wide) > FRAME and full < HOLLOW * (bottom - top) * (right - left)
    return min(high, wide) >= SIDE and not frame


def _merged(regions: Iterable[Region]) -> list[Region]:
    """Those that are close to each other as one: words lie between the parts of a table."""
    apart: list[Region] = []
    for region in regions:
        while over := next((other for other in apart if _close(region, other)), None):
            apart.remove(over)
            region = (
                min(region[0], over[0]),
                min(region[1], over[1]),
                max(region[2], over[2]),
                max(region[3], over[3]),
            )
        apart.append(region)
    return apart


def _close(one: Region, other: Region) -> bool:
    rows = one[0] < other[2] + CLOSE and other[0] < one[2] + CLOSE
    return rows and one[1] < other[3] + CLOSE and other[1] < one[3] + CLOSE
