"""Scores that are numbers, whatever a model gave."""

from __future__ import annotations

import numpy as np

from rag_plugins.vectors import FloatArray

__all__ = ["finite"]


def finite(scores: FloatArray) -> tuple[FloatArray, tuple[str, ...]]:
    """What is not finite as the lowest of the others, 0 where there are none, and how many that were."""
    sound = np.isfinite(scores)
    bad = len(scores) - int(sound.sum())
    if not bad:
        return scores, ()
    lowest = scores[sound].min() if sound.any() else np.float32(0.0)
    noun = "score was" if bad == 1 else "scores were"
    return np.where(sound, scores, lowest), (f"{bad} {noun} not finite and counts as the lowest",)
