"""How the tokens of a query are matched by those of a passage, in figures that a learned head sums up.

Late interaction keeps of each query token its best match alone. Whether the matches stand together, in the
order of the query, and apart from what else is in the passage, is in the same similarities.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from rag_plugins.errors import require
from rag_plugins.models.shipped import FOLDER
from rag_plugins.vectors import FloatArray, Matrix

__all__ = ["FEATURES", "MatchHead", "match_features", "shipped_head"]

_LEVELS = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_SOFTNESS = 0.04
_BLOCK = 12
"""Tokens; a window is two blocks."""

FEATURES = (
    "maxsim",
    "best three",
    "window",
    "in order",
    "contrast",
    "mutual",
    *(f"above {level}" for level in _LEVELS),
    "maxsim of words",
    "contrast of words",
    "maxsim of all",
    "least",
    "least two",
    "reverse",
)
"""Those to "above" are means over query tokens by weight; "of words": even means over those of weight."""

_HEADS = {"all-MiniLM-L6-v2": "all-MiniLM-L6-v2-matching"}
"""By the model whose token vectors they were learned on."""


@dataclass(frozen=True, slots=True)
class MatchHead:
    """A weighted sum of `FEATURES`, shape (len(FEATURES),), on late interaction's own scale."""

    weights: FloatArray
    bias: float = 0.0

    def score(self, features: Matrix) -> FloatArray:
        """Of rows of features, shape (n, len(FEATURES))."""
        return features @ self.weights + np.float32(self.bias)


def match_features(similar: Matrix, weights: FloatArray) -> FloatArray:
    """`FEATURES` of similarities (query tokens, passage tokens); `weights` of the query tokens sum to 1.

    All 0 for a passage without tokens.
    """
    if not similar.size:
        return np.zeros(len(FEATURES), np.float32)
    words = weights > 0
    best = similar.max(axis=1)
    contrast = best - similar.mean(axis=1)
    levels = 1.0 / (1.0 + np.exp((np.array(_LEVELS, np.float32)[:, None] - best) / _SOFTNESS))
    least = np.sort(best[words])
    return np.array(
        [
            weights @ best,
            weights @ _best_three(similar),
            _window(similar, weights),
            _in_order(similar, weights),
            weights @ contrast,
            weights @ (best - similar[:, similar.argmax(axis=1)].max(axis=0)),
            *(levels @ weights),
            best[words].mean(),
            contrast[words].mean(),
            best.mean(),
            least[0],
            least[:2].mean(),
            similar.max(axis=0).mean(),
        ],
        np.float32,
    )


def _best_three(similar: Matrix) -> FloatArray:
    """For each query token, the mean of its three best matches."""
    kept = min(3, similar.shape[1])
    return np.partition(similar, -kept, axis=1)[:, -kept:].mean(axis=1)


def _window(similar: Matrix, weights: FloatArray) -> float:
    """MaxSim within the best 13 to 24 tokens in a row, the passage cut into blocks of 12."""
    starts = np.arange(0, similar.shape[1], _BLOCK)
    blocks = np.maximum.reduceat(similar, starts, axis=1)
    windows = np.maximum(blocks[:, :-1], blocks[:, 1:]) if len(starts) > 1 else blocks
    return float((weights @ windows).max())


def _in_order(similar: Matrix, weights: FloatArray) -> float:
    """The best match of each two query tokens in a row with two of the passage; the last as before."""
    if min(similar.shape) < 2:
        return 0.0
    pairs = (similar[:-1, :-1] + similar[1:, 1:]).max(axis=1) / 2
    return float(weights @ np.append(pairs, pairs[-1]))


@cache
def shipped_head(model: str) -> MatchHead | None:
    """What this package has for token vectors of a model, if anything."""
    if model not in _HEADS:
        return None
    safetensors: Any = require("safetensors.numpy", "models")
    tensors = safetensors.load_file(FOLDER / _HEADS[model] / "model.safetensors")
    return MatchHead(tensors["weights"], float(tensors["bias"]))
