"""Maximal marginal relevance: what is relevant, and not what has been said (Carbonell and Goldstein 1998)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rag_plugins.errors import BadInput
from rag_plugins.vectors import Matrix

__all__ = ["spread"]


def spread(scores: Sequence[float], alike: Matrix, k: int, balance: float) -> list[int]:
    """Positions of k hits, each the best by balance * relevance - (1 - balance) * likeness to those before.

    `scores` of any scale, which relevance has in 0..1; `alike` are cosines, shape (n, n). Balance 1 is the
    order of the scores, 0 asks for difference alone, after the best. Raises `BadInput` outside 0..1.
    """
    if not 0.0 <= balance <= 1.0:
        raise BadInput(f"balance is {balance}: expected 0 (different hits) to 1 (the most relevant ones)")
    given = np.asarray(scores, np.float64)
    span = float(np.ptp(given)) if len(given) else 0.0
    relevance = (given - given.min()) / span if span else np.ones(len(given))
    left = list(np.argsort(-relevance, kind="stable"))
    chosen: list[int] = []
    while left and len(chosen) < k:
        likeness = alike[np.ix_(left, chosen)].max(axis=1) if chosen else np.zeros(len(left))
        best = int(np.argmax(balance * relevance[left] - (1.0 - balance) * likeness)) if chosen else 0
        chosen.append(int(left.pop(best)))
    return chosen
