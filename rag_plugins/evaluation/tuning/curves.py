"""Curves from scores to probabilities: isotonic regression, and as few points as show it."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rag_plugins.errors import require
from rag_plugins.vectors import FloatArray

__all__ = ["Curve", "Floats", "fitted", "thinned"]

_TOLERANCE, _POINTS = 0.005, 40
"""How far a thinned curve may be from the whole one, and how many points it may have."""

Floats: TypeAlias = NDArray[np.float64]
Curve: TypeAlias = tuple[tuple[float, float], ...]
"""Score and probability, both rising, straight between the points and flat beyond them."""


def fitted(scores: FloatArray, relevant: NDArray[np.bool_]) -> Curve:
    """The isotonic regression of relevance on scores, shapes (n,), thinned. Raises `MissingExtra`."""
    isotonic: Any = require("sklearn.isotonic", extra="models")
    model = isotonic.IsotonicRegression(y_min=0.0, y_max=1.0)
    # Rounded here, so that what a configuration shows is what was measured.
    model.fit(np.round(scores.astype(np.float64), 6), relevant.astype(float))
    return thinned(model.X_thresholds_, np.round(model.y_thresholds_, 4))


def thinned(scores: Floats, probabilities: Floats) -> Curve:
    """The fewest of a curve's own points that stay within .005 of it.

    Both shapes (n,); `scores` are distinct, and both rise. Where that takes more than 40 points, as a
    staircase of high steps does, the tolerance doubles until it does not.
    """
    tolerance = _TOLERANCE
    while len(kept := _fewest(scores, probabilities, tolerance)) > _POINTS:
        tolerance *= 2
    return tuple((float(scores[n]), float(probabilities[n])) for n in kept)


def _fewest(scores: Floats, probabilities: Floats, tolerance: float) -> list[int]:
    """The shortest path from the first point to the last over lines that are within the tolerance."""
    steps = np.full(len(scores), len(scores))
    steps[0] = 0
    before = np.zeros(len(scores), int)
    for start in range(len(scores) - 1):
        run, rise = scores[start + 1 :] - scores[start], probabilities[start + 1 :] - probabilities[start]
        steepest = np.minimum.accumulate((rise + tolerance) / run)
        flattest = np.maximum.accumulate((rise - tolerance) / run)
        near = (flattest <= rise / run) & (rise / run <= steepest)
        better = start + 1 + np.flatnonzero(near & (steps[start] + 1 < steps[start + 1 :]))
        steps[better], before[better] = steps[start] + 1, start
    path = [len(scores) - 1]
    while path[-1]:
        path.append(int(before[path[-1]]))
    return path[::-1]
