"""First passes of late interaction: one vector for the many of a page, and another for those of a query.

Fixed dimensional encodings (MUVERA, arXiv:2405.19504) estimate MaxSim: hashed hyperplanes part the space
into buckets; a query's vector has the sum of its tokens in each bucket, a page's the mean, and in a bucket
where it has none, its token that is the fewest hyperplanes away. So most query tokens meet tokens like them.

Measured on made tokens of 128 dimensions (2000 pages of `benchmarks.page_tokens`): the share of MaxSim's best
10, and of pages asked for, among the first 100; then that best 10 for tokens of all-MiniLM-L6-v2, cut to 128
dimensions, on squad-dev-A among 1800 other passages: their mean is what that model was trained for.

    3 planes, twice             2048 numbers    .50    .99    .97
    4 planes, 20 times, in 8    2560            .48    .99    .95    (the paper's)
    3 planes, once              1024            .45    .95    .95
    the mean                     128            .28    .76    .98
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rag_plugins.models.tokens import rotation
from rag_plugins.types import JsonValue
from rag_plugins.vectors import FloatArray, Matrix, normalise

__all__ = ["FIRST_PASSES", "FirstPass"]

_PLANES = 3
_BUCKETS = 2**_PLANES
_REPETITIONS = 2
_MOST = 128
"""Dimensions of a token that count; wider ones are projected, in each repetition otherwise."""

_DISTANCES = np.array([[(one ^ other).bit_count() for other in range(_BUCKETS)] for one in range(_BUCKETS)])
"""Between buckets: hyperplanes that part them."""


@dataclass(frozen=True, slots=True)
class FirstPass:
    """How token vectors, unit rows of shape (tokens, dim), become one unit vector of `size(dim)` numbers.

    A page's d becomes [d / M, sqrt(1 - |d|² / M²)] where no page is longer than M, a query's q [q / |q|, 0]:
    all have unit length, and inner products keep their order (Bachrach et al. 2014, section 3).
    """

    width: Callable[[int], int]
    longest: float
    page_vector: Callable[[Matrix], FloatArray]
    query_vector: Callable[[Matrix], FloatArray]
    settings: JsonValue

    def size(self, dim: int) -> int:
        """Numbers in a vector, by the dimensions of a token."""
        return self.width(dim) + 1

    def page(self, tokens: Matrix) -> FloatArray:
        """Of a page; without tokens it has an inner product of 0 with every query."""
        short = self.page_vector(tokens) / self.longest
        rest = np.sqrt(max(1.0 - float(short @ short), 0.0))
        return normalise(np.append(short, np.float32(rest)))

    def query(self, tokens: Matrix) -> FloatArray:
        """Of a query; one whose tokens cancel out finds no page better than another."""
        unit = normalise(self.query_vector(tokens))
        return np.append(unit, np.float32(0.0 if unit.any() else 1.0))


def _muvera_width(dim: int) -> int:
    return _REPETITIONS * _BUCKETS * min(dim, _MOST)


def _muvera_query(tokens: Matrix) -> FloatArray:
    return _sums(_buckets(tokens), _projected(tokens)).ravel()


def _muvera_page(tokens: Matrix) -> FloatArray:
    buckets, projected = _buckets(tokens), _projected(tokens)
    if not len(tokens):
        return np.zeros(_muvera_width(tokens.shape[1]), np.float32)
    counts = (buckets[:, :, None] == np.arange(_BUCKETS)).sum(axis=0)
    means = _sums(buckets, projected) / np.maximum(counts, 1)[:, :, None]
    # The first of those that are equally near: (repetitions, buckets).
    nearest = _DISTANCES[buckets].argmin(axis=0)
    filled = projected[nearest, np.arange(_REPETITIONS)[:, None]]
    return np.where(counts[:, :, None] == 0, filled, means).astype(np.float32).ravel()


def _buckets(tokens: Matrix) -> NDArray[np.int64]:
    """The bucket of each token, (tokens, repetitions)."""
    sides = (tokens @ _planes(tokens.shape[1]) > 0).reshape(len(tokens), _REPETITIONS, _PLANES)
    return sides @ (1 << np.arange(_PLANES))


def _projected(tokens: Matrix) -> NDArray[np.float32]:
    """Tokens in at most `_MOST` dimensions, (tokens, repetitions, dimensions)."""
    count, dim = tokens.shape
    return (tokens @ _projections(dim)).reshape(count, _REPETITIONS, min(dim, _MOST))


def _sums(buckets: NDArray[np.int64], projected: NDArray[np.float32]) -> NDArray[np.float32]:
    """(repetitions, buckets, dimensions)."""
    within = (buckets[:, :, None] == np.arange(_BUCKETS)).astype(np.float32)
    return np.einsum("nrb,nrd->rbd", within, projected)


@cache
def _planes(dim: int) -> Matrix:
    """Normals of all hyperplanes, (dim, repetitions x planes), at right angles: none repeats another."""
    many = _REPETITIONS * _PLANES
    return rotation(max(dim, many))[:dim, :many]


@cache
def _projections(dim: int) -> Matrix:
    """(dim, repetitions x dimensions): for each repetition other columns of a rotation, while there are."""
    width = min(dim, _MOST)
    columns = np.arange(_REPETITIONS * width).reshape(_REPETITIONS, width) % dim
    return rotation(dim)[:, columns.ravel()]


def _mean(tokens: Matrix) -> FloatArray:
    return tokens.mean(axis=0) if len(tokens) else np.zeros(tokens.shape[1], np.float32)


FIRST_PASSES: Mapping[Literal["muvera", "mean"], FirstPass] = {
    # A bucket's mean has at most unit length, also projected.
    "muvera": FirstPass(
        _muvera_width,
        float(np.sqrt(_REPETITIONS * _BUCKETS)),
        _muvera_page,
        _muvera_query,
        {"planes": _PLANES, "repetitions": _REPETITIONS, "dimensions": _MOST},
    ),
    "mean": FirstPass(lambda dim: dim, 1.0, _mean, lambda tokens: tokens.sum(axis=0), {}),
}
"""By the names that configurations use."""
