"""What can be told of a page from its pixels alone: even light, strokes, skew."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from rag_plugins.types import Box

__all__ = ["levelled", "skew", "strokes", "unread"]

_REDUCED = 4
_BOLDEST = 5
"""Ink this many pixels wide, at a quarter of the resolution, is a stroke; wider, a border or a figure."""

_STROKE = 0.85
"""Darker than this against the paper around it is ink, at a quarter of the resolution."""

_BRIGHT = 90.0
"""Less than half as bright as all but the brightest of so many per cent is no paper."""

_WHITE = 0.97
_FULL = 25.0
"""So many per cent of the ink become black altogether: the insides of strokes."""

_MARGIN = 0.003
"""Boxes are a little narrow: strokes this close to one, in fractions of the page, belong to it."""

_MAX_SKEW = 10.0
_LEAST_SKEW = 0.5
_CLEARER = 1.35
"""How much sharper lines must be after straightening, for the angle to be believed."""

_MAX_POINTS = 40_000


def levelled(image: Image.Image) -> Image.Image:
    """Faint print in shade made black on white: each pixel against the paper around it, then spread."""
    grey = image.convert("L")
    paper = _paper(grey.reduce(_REDUCED)).resize(grey.size, Image.Resampling.BILINEAR)
    light = _against(grey, paper)
    some = light[::_REDUCED, ::_REDUCED]
    ink = some[some < _STROKE]
    black = float(np.percentile(ink, _FULL)) if ink.size else 0.0
    light -= black
    light *= 255 / (_WHITE - black)
    return Image.fromarray(np.clip(light, 0, 255, out=light).astype(np.uint8))


def strokes(image: Image.Image, smaller: int = _REDUCED) -> NDArray[np.bool_]:
    """Where ink begins and ends, along the rows of the image made so many times smaller.

    Print has many such places; shadows, black borders and solid figures few for their size.
    """
    grey = image.convert("L").reduce(smaller)
    ink = _against(grey, _paper(grey)) < _STROKE
    return ink[:, 1:] != ink[:, :-1]


def unread(image: Image.Image, boxes: Iterable[Box]) -> float:
    """The share of strokes outside these boxes, 0 to 1; 0 on a blank page."""
    edges = strokes(image)
    total = int(np.count_nonzero(edges))
    height, width = edges.shape
    for box in boxes:
        top, left = (
            max(0, int((near - _MARGIN) * side)) for near, side in ((box.top, height), (box.left, width))
        )
        edges[
            top : int((box.bottom + _MARGIN) * height) + 1, left : int((box.right + _MARGIN) * width) + 1
        ] = False
    return int(np.count_nonzero(edges)) / total if total else 0.0


def skew(image: Image.Image) -> float:
    """Degrees to turn the page, anticlockwise, for its lines to lie level; 0.0 where that is unsure.

    The projection profile (Postl 1986): strokes summed along lines at each angle differ most between
    neighbouring sums where lines of text are met lengthwise. Angles up to 10 degrees, to a tenth.
    """
    y, x = np.nonzero(strokes(image, smaller=2))
    if len(x) < 100:
        return 0.0
    every = -(-len(x) // _MAX_POINTS)
    points = (x[::every].astype(np.float32), y[::every].astype(np.float32))
    coarse = _sharpest(points, np.arange(-_MAX_SKEW, _MAX_SKEW + 0.5, 0.5))
    angle = _sharpest(points, np.arange(coarse - 0.5, coarse + 0.55, 0.1))
    if not _LEAST_SKEW <= abs(angle) <= _MAX_SKEW or _sharpness(points, angle) < _CLEARER * _sharpness(
        points, 0.0
    ):
        return 0.0
    return round(angle, 1)


def _paper(grey: Image.Image) -> Image.Image:
    """How bright the paper is around each pixel; black where there is none, as in the shadow beside it."""
    bright = np.asarray(grey.filter(ImageFilter.MaxFilter(_BOLDEST)).filter(ImageFilter.MinFilter(_BOLDEST)))
    there = bright >= np.percentile(bright, _BRIGHT) / 2
    blur = ImageFilter.GaussianBlur(max(grey.size) / 40)
    # Mode F is not blurred by Pillow: the mean of the paper alone is that of all by its share.
    mean, share = (
        np.asarray(Image.fromarray(part.astype(np.uint8)).filter(blur), dtype=np.float32)
        for part in (bright * there, there * np.uint8(255))
    )
    paper = np.where(there, 255 * mean / np.maximum(share, 1), 0)
    return Image.fromarray(np.clip(paper, 0, 255).astype(np.uint8))


def _against(grey: Image.Image, paper: Image.Image) -> NDArray[np.float32]:
    """Brightness by that of the paper, and white where there is none."""
    white = np.asarray(paper, dtype=np.float32)
    light = np.divide(np.asarray(grey, dtype=np.float32), np.maximum(white, 1, dtype=np.float32))
    light[white < np.percentile(white[::_REDUCED, ::_REDUCED], _BRIGHT) / 2] = 1.0
    return light


def _sharpest(points: tuple[NDArray[np.float32], NDArray[np.float32]], angles: NDArray[np.float64]) -> float:
    return max((float(angle) for angle in angles), key=lambda angle: _sharpness(points, angle))


def _sharpness(points: tuple[NDArray[np.float32], NDArray[np.float32]], angle: float) -> float:
    x, y = points
    # y runs down: a line that falls to the right is level again after an anticlockwise turn.
    rows = y - np.float32(math.tan(math.radians(angle))) * x
    sums = np.bincount((rows - rows.min()).astype(np.int64))
    return float(np.square(np.diff(sums)).sum())
