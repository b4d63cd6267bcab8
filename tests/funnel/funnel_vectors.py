"""Vectors for the tests of funnels: unit rows whose numbers fall off, as real embeddings' do once rotated."""

import numpy as np

from rag_plugins.vectors import normalise


def spectrum(rows, dim, seed=0, turned=True):
    """Rows of falling energy along axes that are hidden by a random rotation, unless not `turned`."""
    random = np.random.default_rng(seed)
    vectors = random.standard_normal((rows, dim)) * np.arange(1, dim + 1) ** -0.7
    axes, _ = np.linalg.qr(np.random.default_rng(99).standard_normal((dim, dim)))
    return normalise((vectors @ axes if turned else vectors).astype(np.float32))
