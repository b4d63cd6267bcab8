"""The loops of a dense search in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag_plugins.resident.codes import Int8
from rag_plugins.vectors import FloatArray

__all__ = ["dots", "sums"]

_EXACT = 1 << 24
"""Whole numbers up to here are exact in float32: BLAS adds products of int8 without rounding."""


def sums(columns: Int8, query: Int8) -> NDArray[np.int32]:
    """Inner products of int8 rows with an int8 query, exact."""
    width = columns.shape[1]
    kind = np.float32 if width * 127 * 127 < _EXACT else np.float64
    return (columns.astype(kind) @ query.astype(kind)).astype(np.int32)


def dots(full: NDArray[Any], query: FloatArray) -> FloatArray:
    """Inner products of rows, added up in float64 and each row by itself: equal rows have equal products."""
    products = np.multiply(full, query, dtype=np.float64)
    return products.sum(axis=1).astype(np.float32)
