"""The loops of a dense search: compiled where numba is installed, else in numpy, with the same results."""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rag_plugins.vectors import FloatArray

__all__ = [
    "GROUP",
    "Int8",
    "IntArray",
    "Mask",
    "Totals",
    "bar",
    "best",
    "fill",
    "loops",
    "products",
    "prune",
    "room",
    "scan",
]

Int8: TypeAlias = NDArray[np.int8]

IntArray: TypeAlias = NDArray[np.int64]
"""Shape (n,): rows."""

Mask: TypeAlias = NDArray[np.bool_]
"""Shape (rows,): True where a row may be found."""

Totals: TypeAlias = NDArray[np.int32]
"""Shape (n,): inner products of codes."""

GROUP = 64
"""Rows that are scanned at once."""

_OCTET = 8
_MASKLESS = np.zeros(0, np.bool_)


@cache
def loops() -> ModuleType | None:
    """`resident.dots`, or None without numba."""
    try:
        from rag_plugins.resident import dots
    except ImportError:  # numba's own, where it does not fit the numpy that there is, too.
        return None
    return dots


def room(columns: Int8) -> NDArray[Any]:
    """Where a scan of codes (n, width) reads them: packed in groups of rows, or the codes themselves.

    Packed: for each group of 64 rows and each 8 columns, 4 bytes a row, of which the lower half is of
    columns 0 to 3 and the upper one of columns 4 to 7.
    """
    compiled = loops()
    if compiled is None or not compiled.PACKED:
        return columns
    groups, octets = -(-len(columns) // GROUP), -(-columns.shape[1] // _OCTET)
    return np.empty(groups * octets * GROUP * 4, np.uint8)


def fill(sketch: NDArray[Any], columns: Int8, start: int, end: int) -> None:
    """Pack rows `start` to `end` of the codes, where the sketch is not the codes themselves."""
    if sketch is columns:
        return
    octets = -(-columns.shape[1] // _OCTET)
    halves = np.zeros((end - start, octets * _OCTET), np.uint8)
    halves[:, : columns.shape[1]] = _halves(columns[start:end])
    lower, upper = halves.reshape(-1, octets, 2, 4).transpose(2, 0, 1, 3)
    rows = np.arange(start, end)
    sketch.reshape(-1, octets, GROUP, 4)[rows // GROUP, :, rows % GROUP] = lower | (upper << 4)


def scan(
    sketch: NDArray[Any],
    rows: int,
    factors: FloatArray,
    query: Int8,
    threshold: float,
    mask: Mask | None,
    step: int = 1,
) -> tuple[IntArray, FloatArray]:
    """Of the first `rows` rows, those that score `threshold` or more, ascending, and their scores.

    A score is the inner product of the upper halves of codes with the query, times the row's factor. Only
    every `step`th group of 64 rows is looked at, and only where `mask` is True.
    """
    compiled = loops()
    if compiled is None:
        return _scan(sketch, rows, factors, query, threshold, mask, step)
    found, scores = np.empty(rows, np.int64), np.empty(rows, np.float32)
    padded = np.zeros(-(-len(query) // _OCTET) * _OCTET, np.int8)
    padded[: len(query)] = query
    allowed = _MASKLESS if mask is None else mask
    count = compiled.scan(sketch, rows, factors, padded, threshold, allowed, step, found, scores)
    return found[:count], scores[:count]


def bar(scores: FloatArray, wanted: int) -> float:
    """What the best `wanted` scores reach; minus infinity where there are no more than that."""
    if wanted >= len(scores):
        return -np.inf
    compiled = loops()
    return _bar(scores, wanted) if compiled is None else compiled.bar(scores, wanted)


def best(rows: IntArray, scores: FloatArray, wanted: int) -> IntArray:
    """The rows of the best `wanted` scores, and ties. Their array may be written to."""
    if wanted >= len(rows):
        return rows
    compiled = loops()
    if compiled is None:
        return rows[scores >= _bar(scores, wanted)]
    return rows[: compiled.best(rows, scores, wanted)]


def prune(
    columns: Int8, factors: FloatArray, query: Int8, rows: IntArray, totals: Totals, wanted: int
) -> tuple[IntArray, Totals]:
    """Rows and their totals, of the best `wanted` and ties, once more columns have been added.

    A total is the exact inner product of a row's codes with the query; with its factor it is a score. The
    arrays of rows and totals may be written to.
    """
    compiled = loops()
    if compiled is not None:
        count = compiled.prune(columns, factors, query, rows, totals, wanted)
        return rows[:count], totals[:count]
    totals = totals + _whole(columns[rows], query)
    if wanted >= len(rows):
        return rows, totals
    scores = totals.astype(np.float32) * factors[rows]
    good = scores >= _bar(scores, wanted)
    return rows[good], totals[good]


def products(full: NDArray[Any], rows: IntArray, query: FloatArray) -> FloatArray:
    """Inner products of these rows with a query, each added up in float64: equal rows have equal products."""
    compiled = loops()
    if compiled is None:
        wide = np.multiply(full[rows], query, dtype=np.float64)
        return wide.sum(axis=1).astype(np.float32)
    if full.dtype != np.float32:
        full, rows = full[rows].astype(np.float32), np.arange(len(rows))
    out = np.empty(len(rows), np.float32)
    compiled.products(full, rows, query, out)
    return out


def _scan(
    columns: Int8,
    rows: int,
    factors: FloatArray,
    query: Int8,
    threshold: float,
    mask: Mask | None,
    step: int,
) -> tuple[IntArray, FloatArray]:
    some = np.arange(rows).reshape(-1) if step == 1 else _sampled(rows, step)
    codes = columns[:rows] if step == 1 else columns[some]
    sums = 2 * _whole(_halves(codes), query) - 15 * int(query.sum(dtype=np.int64))
    scores = sums.astype(np.float32) * factors[some]
    good = scores >= threshold
    if mask is not None:
        good &= mask[some]
    return some[good], scores[good]


def _bar(scores: FloatArray, wanted: int) -> float:
    return float(np.partition(scores, -wanted)[-wanted])


def _sampled(rows: int, step: int) -> IntArray:
    starts = np.arange(0, rows, step * GROUP)
    sampled = (starts[:, None] + np.arange(GROUP)).ravel()
    return sampled[sampled < rows]


def _halves(codes: Int8) -> NDArray[np.uint8]:
    """The upper four bits, -128 becoming 0 and 127 15."""
    return (codes.view(np.uint8) ^ np.uint8(128)) >> np.uint8(4)


def _whole(codes: NDArray[Any], query: Int8) -> NDArray[np.int32]:
    """Inner products. Whole numbers below 2**24 are exact in float32, in whatever order BLAS adds them."""
    kind = np.float32 if codes.shape[1] * 127 * 127 < 1 << 24 else np.float64
    return (codes.astype(kind) @ query.astype(kind)).astype(np.int32)
