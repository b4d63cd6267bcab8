"""The best of many scores without sorting them; and whether to do it in compiled loops."""

from __future__ import annotations

import importlib
from contextlib import suppress
from functools import cache
from types import ModuleType
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["Mask", "best", "loops", "prepare"]

Mask: TypeAlias = NDArray[np.bool_]
"""Shape (rows,): True where a row may be found."""

Number = TypeVar("Number", np.float32, np.float64)

_MANY = 8192
"""From so many rows on numpy takes more than .7 ms; to load numba takes about as many seconds, and 150 MB."""


_loaded: list[ModuleType] = []


def prepare(rows: int) -> None:
    """Before the first search of so many rows: load compiled loops where they are worth it, and are there."""
    if rows >= _MANY:
        _load()


def loops() -> ModuleType | None:
    """`resident.scatter` once it is loaded; until then, and without numba, numpy does the same."""
    return _loaded[0] if _loaded else None


@cache
def _load() -> None:
    with suppress(ImportError):  # numba's own, where it does not fit the numpy that there is, too.
        _loaded.append(importlib.import_module("rag_plugins.resident.scatter"))


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
