"""Patches that say the same become one vector."""

from __future__ import annotations

from typing import Any

import numpy as np

from rag_plugins.errors import require
from rag_plugins.vectors import Matrix, normalise

__all__ = ["pooled"]


def pooled(tokens: Matrix, pool: int) -> Matrix:
    """Unit rows (tokens, dim) as about one in `pool`, unit rows too: the means of clusters of like ones.

    Ward's hierarchical clustering on cosine distances (Clavié, Chaffin and Adams 2024, arXiv:2409.14683,
    where on average 3 lost nothing). Clusters are in the order of their first tokens.
    """
    most = max(len(tokens) // pool, 1)
    if most >= len(tokens):
        return tokens
    labels = _clusters(tokens, most)
    _, first, cluster = np.unique(labels, return_index=True, return_inverse=True)
    means = np.zeros((len(first), tokens.shape[1]), np.float32)
    np.add.at(means, cluster, tokens)
    # The length of a sum is lost in unit vectors, so that there is nothing to divide by.
    return normalise(means[np.argsort(first)])


def _clusters(tokens: Matrix, most: int) -> Any:
    """A label a token, at most `most` different ones."""
    hierarchy: Any = require("scipy.cluster.hierarchy", extra="models")
    distances = np.clip(1.0 - tokens @ tokens.T, 0.0, 2.0)
    upper = distances[np.triu_indices(len(tokens), 1)]
    return hierarchy.fcluster(hierarchy.linkage(upper, "ward"), most, "maxclust")
