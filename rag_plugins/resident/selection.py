"""The best of many scores without sorting them; and whether compiled loops are to be had."""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["Mask", "best", "loops"]

Mask: TypeAlias = NDArray[np.bool_]
"""Shape (rows,): True where a row may be found."""


Number = TypeVar("Number", np.float32, np.float64)


@cache
def loops() -> ModuleType | None:
    """`resident.scatter`, or None without numba: then numpy does the same."""
    try:
        from rag_plugins.resident import scatter
    except ImportError:  # numba's own, where it does not fit the numpy that there is, too.
        return None
    return scatter


def best(
    scores: NDArray[Number], limit: int, mask: Mask
) -> tuple[NDArray[np.signedinteger[Any]], NDArray[Number]]:
    """(rows, scores) of the `limit` best scores above 0 where `mask` is True, ties of the last too.

    The mask is of the first rows; those beyond it are not found.
    """
    limit = min(limit, len(mask))
    if limit and (compiled := loops()) is not None:
        found, of_found = np.empty(len(mask), np.int32), np.empty(len(mask), scores.dtype)
        count = compiled.top(scores, mask, limit, found, of_found)
        return found[:count], of_found[:count]
    rows = np.flatnonzero((scores[: len(mask)] > 0.0) & mask)
    if len(rows) > limit:
        rows = rows[scores[rows] >= np.partition(scores[rows], -limit)[-limit]]
    return rows, scores[rows]
