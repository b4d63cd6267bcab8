"""The best of many scores without sorting them; and whether compiled loops are to be had."""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rag_plugins.resident.lists import IntArray

__all__ = ["Mask", "best", "loops"]

Mask: TypeAlias = NDArray[np.bool_]
"""Shape (rows,): True where a row may be found."""


@cache
def loops() -> ModuleType | None:
    """`resident.scatter`, or None without numba: then numpy does the same."""
    try:
        from rag_plugins.resident import scatter
    except ImportError:  # numba's own, where it does not fit the numpy that there is, too.
        return None
    return scatter


def best(scores: NDArray[np.floating[Any]], limit: int, mask: Mask) -> IntArray:
    """Rows of the `limit` best scores above 0 where `mask` is True, ties of the last too, ascending.

    The mask is of the first rows; those beyond it are not found.
    """
    limit = min(limit, len(mask))
    if not limit:
        return np.empty(0, np.int64)
    compiled = loops()
    if compiled is not None:
        found = np.empty(len(mask), np.int32)
        return found[: compiled.top(scores, mask, limit, found)].astype(np.int64)
    rows = np.flatnonzero((scores[: len(mask)] > 0.0) & mask)
    if len(rows) <= limit:
        return rows
    return rows[scores[rows] >= np.partition(scores[rows], -limit)[-limit]]
