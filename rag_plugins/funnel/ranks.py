"""Where each prefix puts what the exact search finds: all that the recall of a funnel follows from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from rag_plugins.funnel.rotation import Rotation
from rag_plugins.vectors import Matrix, truncate

__all__ = ["Blocks", "Ranks", "blocks_of", "exact_best", "prefix_ranks"]

Blocks: TypeAlias = Callable[[], Iterator[Matrix]]
"""All vectors in order, some at a time; may be called again."""

Ranks: TypeAlias = Mapping[int, NDArray[np.int64]]
"""By width, how many rows a prefix puts before each of the k best of each query: (queries, k)."""

_BLOCK = 4096

_SAME = 1e-6
"""Scores no further apart than this are equal, but for the order of additions."""


def blocks_of(matrix: Matrix) -> Blocks:
    """Vectors that are all in memory."""

    def blocks() -> Iterator[Matrix]:
        for start in range(0, len(matrix), _BLOCK):
            yield matrix[start : start + _BLOCK]

    return blocks


def exact_best(blocks: Blocks, queries: Matrix, k: int) -> tuple[NDArray[np.float32], int]:
    """The vectors of the k best rows of each query, (queries, k, dim), and how many rows there are."""
    count, dim = queries.shape
    scores = np.empty((count, 0), np.float32)
    found = np.empty((count, 0, dim), np.float32)
    rows = 0
    for block in blocks():
        here = queries @ block.T
        top = np.argpartition(-here, min(k, len(block)) - 1, axis=1)[:, :k]
        scores = np.concatenate([scores, np.take_along_axis(here, top, axis=1)], axis=1)
        found = np.concatenate([found, block[top]], axis=1)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        scores = np.take_along_axis(scores, order, axis=1)
        found = np.take_along_axis(found, order[:, :, None], axis=1)
        rows += len(block)
    return found, rows


def prefix_ranks(
    blocks: Blocks, queries: Matrix, best: Matrix, rotation: Rotation | None, widths: Sequence[int]
) -> Ranks:
    """One pass over the rows for all widths."""
    turned = queries if rotation is None else rotation(queries)
    of_best = best if rotation is None else rotation(best)
    cut = {width: truncate(turned, width) for width in widths}
    # Rows equal to one of the best in a prefix are not before it: each stage may keep them all.
    bars = {w: np.einsum("qd,qkd->qk", cut[w], truncate(of_best, w)) + _SAME for w in widths}
    ranks = {width: np.zeros(best.shape[:2], np.int64) for width in widths}
    for block in blocks():
        rotated = block if rotation is None else rotation(block)
        for width in widths:
            scores = cut[width] @ truncate(rotated, width).T
            for nth in range(best.shape[1]):
                ranks[width][:, nth] += np.count_nonzero(scores > bars[width][:, nth, None], axis=1)
    return ranks
