"""What the pruning stages of a funnel leave over, by the codes of prefixes in memory."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, sqrt

import numpy as np

from rag_plugins.funnel import Prefixes, Stage
from rag_plugins.resident import kernels
from rag_plugins.resident.codes import Codes
from rag_plugins.resident.kernels import Int8, IntArray, Mask
from rag_plugins.vectors import FloatArray

__all__ = ["Scope", "shortlist"]

_SAMPLE = 2048
"""Rows whose scores tell what to expect of the others'."""

_SPARE = 2
"""Half bytes leave over so many times the rows that whole ones then choose from."""

_CERTAIN = 4
"""Standard errors between what is expected and what is asked of the sample."""

_ALONE = 8
"""Codes leave over so many times the rows that a last stage which is narrower than the vectors is to find."""


@dataclass(frozen=True, slots=True, eq=False)
class Scope:
    """The rows to search: the first `rows`, where `mask` is True; `allowed` of them."""

    rows: int
    mask: Mask | None
    allowed: int


def shortlist(codes: Codes, prefixes: Prefixes, query: FloatArray, limit: int, scope: Scope) -> IntArray:
    """The rows, ascending, that the last stage is to score."""
    short = _short(prefixes, query, codes.widths[-1])
    keeps = [_kept(prefixes, stage, limit) for stage in prefixes.funnel.stages[: len(codes.widths)]]
    found = _sketched(codes, short[: codes.widths[0]], _SPARE * keeps[0], scope)
    totals, narrow = np.zeros(len(found), np.int32), 0
    for wide, keep, columns, factors in zip(codes.widths, keeps, codes.columns, codes.factors, strict=True):
        found, totals = kernels.prune(columns, factors, short[narrow:wide], found, totals, keep)
        narrow = wide
    return found


def _short(prefixes: Prefixes, query: FloatArray, width: int) -> Int8:
    """Codes of a query's prefix. Its length and its scale change no order, and are left alone."""
    turned = query[:width] if prefixes.rotation is None else prefixes.rotation(query, width)
    largest = np.abs(turned).max()
    return np.rint(turned * (np.float32(127.0) / largest if largest else largest)).astype(np.int8)


def _kept(prefixes: Prefixes, stage: Stage, limit: int) -> int:
    return _ALONE * limit if stage.keep is None else prefixes.funnel.kept(stage, limit)


def _sketched(codes: Codes, query: Int8, wanted: int, scope: Scope) -> IntArray:
    """The best `wanted` rows, and ties, by half bytes of the narrowest prefix.

    Rows that score too little are left out by the scan itself: by the score that a sample lets expect at a
    rank some way beyond. Where the sample was misleading the next try is more careful.
    """
    step = max(scope.rows // _SAMPLE, 1)
    found, scores = _scan(codes, query, -np.inf, scope, step)
    rank = wanted * len(scores) / max(scope.allowed, 1)
    rank += _CERTAIN * sqrt(rank) + _CERTAIN
    while step > 1:
        threshold = kernels.bar(scores, ceil(rank))
        found, better = _scan(codes, query, threshold, scope)
        if len(found) >= wanted or threshold == -np.inf:
            return kernels.best(found, better, wanted)
        rank *= _CERTAIN
    return kernels.best(found, scores, wanted)


def _scan(
    codes: Codes, query: Int8, threshold: float, scope: Scope, step: int = 1
) -> tuple[IntArray, FloatArray]:
    return kernels.scan(codes.sketch, scope.rows, codes.factors[0], query, threshold, scope.mask, step)
