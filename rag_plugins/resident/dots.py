"""The loops of a dense search, compiled. Importing this module needs numba.

Each has a numpy twin in `kernels`; whole numbers are the same there, floats but for the order of additions.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from rag_plugins.resident import vnni
from rag_plugins.resident.compiling import compiled, jit, read, types

__all__ = ["PACKED", "add", "products", "scan"]

PACKED = vnni.AVAILABLE
"""Whether `scan` is to be given packed halves of codes; else the codes themselves."""

_Array: TypeAlias = Any
_group_sums: Any = vnni.group_sums
_int8, _int32, _int64, _uint8 = types.int8, types.int32, types.int64, types.uint8
_bool, _float32 = types.boolean, types.float32

_GROUP = 64
_OTHERS = (_int64, read(_float32), read(_int8), _float32, read(_bool), _int64, _int64[::1], _float32[::1])
_SKETCHES = [read(_int8, 2), *([read(_uint8)] if PACKED else [])]


@jit(nogil=True)
def _sums(sketch: _Array, group: int, size: int, query: _Array, sums: _Array) -> None:
    if sketch.ndim == 1:
        pairs = len(query) // 8
        _group_sums(sketch, group * pairs * _GROUP * 4, query, pairs, sums)
    else:
        for lane in range(size):
            total = np.int32(0)
            for column in range(sketch.shape[1]):
                half = (np.uint8(sketch[group * _GROUP + lane, column]) ^ np.uint8(128)) >> np.uint8(4)
                # numba would count in 64 bits, which no processor is as fast at.
                total = np.int32(total + np.int32(np.int32(half) * np.int32(query[column])))
            sums[lane] = total


@compiled(*(_int64(sketch, *_OTHERS) for sketch in _SKETCHES))
def scan(
    sketch: _Array,
    rows: int,
    factors: _Array,
    query: _Array,
    threshold: float,
    mask: _Array,
    step: int,
    found: _Array,
    scores: _Array,
) -> int:
    """Rows that score `threshold` or more, of every `step`th group of 64, and their scores; how many.

    An empty mask is none. There are factors for whole groups.
    """
    sums, near = np.empty(_GROUP, np.int32), np.empty(_GROUP, np.float32)
    offset = np.int32(0)
    for column in range(len(query)):
        offset = np.int32(offset + np.int32(15) * np.int32(query[column]))
    count = 0
    for group in range(0, (rows + _GROUP - 1) // _GROUP, step):
        start = group * _GROUP
        size = min(_GROUP, rows - start)
        _sums(sketch, group, size, query, sums)
        scale = factors[start : start + _GROUP]
        # All 64 in two loops of a known length, which become a few instructions; there may be no row there.
        for lane in range(_GROUP):
            near[lane] = np.float32(np.int32(2 * sums[lane] - offset)) * scale[lane]
        hits = 0
        for lane in range(_GROUP):
            hits += near[lane] >= threshold
        for lane in range(size if hits else 0):
            if near[lane] >= threshold and (len(mask) == 0 or mask[start + lane]):
                found[count] = start + lane
                scores[count] = near[lane]
                count += 1
    return count


@compiled(types.void(read(_int8, 2), read(_int64), read(_int8), _int32[::1]))
def add(columns: _Array, rows: _Array, query: _Array, totals: _Array) -> None:
    """Add the inner products of these rows with a query."""
    for place in range(len(rows)):
        row, total = rows[place], np.int32(0)
        for column in range(columns.shape[1]):
            total = np.int32(total + np.int32(np.int32(columns[row, column]) * np.int32(query[column])))
        totals[place] += total


@compiled(types.void(read(_float32, 2), read(_int64), read(_float32), _float32[::1]), any_order=True)
def products(full: _Array, rows: _Array, query: _Array, out: _Array) -> None:
    """Inner products of these rows with a query, added up in float64."""
    width = full.shape[1]
    for place in range(len(rows)):
        row, total = rows[place], 0.0
        for column in range(width):
            total += np.float64(full[row, column]) * np.float64(query[column])
        out[place] = total
