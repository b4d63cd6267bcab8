"""The loops of a dense search, compiled. Importing this module needs numba.

Each has a numpy twin in `kernels`; whole numbers are the same there, floats but for the order of additions.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from rag_plugins.resident import instructions
from rag_plugins.resident.compiling import compiled, jit, read, types

__all__ = ["PACKED", "bar", "best", "products", "prune", "scan"]

PACKED = instructions.VNNI
"""Whether `scan` is to be given packed halves of codes; else the codes themselves."""

_Array: TypeAlias = Any
_group_sums: Any = instructions.group_sums
_prefetch: Any = instructions.prefetch
_int8, _int32, _int64, _uint8 = types.int8, types.int32, types.int64, types.uint8
_bool, _float32 = types.boolean, types.float32

_GROUP = 64
_LINE = 64
"""Bytes that come from memory together."""
_AHEAD = 8
"""Rows that lie apart are asked for so many before their turn: twice as fast, where they are in no cache."""

_OTHERS = (_int64, read(_float32), read(_int8), _float32, read(_bool), _int64, _int64[::1], _float32[::1])
_SKETCHES = [read(_int8, 2), *([read(_uint8)] if PACKED else [])]

_HALVINGS = 300
"""Enough for any two scores: float32 has 254 exponents, and 24 digits. Usual ones are apart after 30."""


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


@jit(nogil=True, fastmath={"reassoc", "nnan", "nsz"})
def _bar(scores: _Array, wanted: int) -> Any:
    low, high = scores[0], scores[0]
    for score in scores:
        low, high = min(low, score), max(high, score)
    for _ in range(_HALVINGS):
        middle = np.float32((low + high) * np.float32(0.5))
        if middle <= low or middle >= high:
            break
        # Counting is faster than sorting: many scores are compared at once.
        reached = np.int32(0)
        for score in scores:
            reached += score >= middle
        if reached == wanted:
            return middle
        if reached > wanted:
            low = middle
        else:
            high = middle
    reached = np.int32(0)
    for score in scores:
        reached += score >= high
    return high if reached >= wanted else low


@compiled(_float32(read(_float32), _int64))
def bar(scores: _Array, wanted: int) -> Any:
    """What `wanted` of the scores reach, and no more but where some are equal; there are more than that."""
    return _bar(scores, wanted)


@compiled(_int64(_int64[::1], read(_float32), _int64))
def best(rows: _Array, scores: _Array, wanted: int) -> int:
    """Move the rows of the best `wanted` scores, and ties, to the front; how many. There are more of them."""
    least, count = _bar(scores, wanted), 0
    for place in range(len(rows)):
        if scores[place] >= least:
            rows[count] = rows[place]
            count += 1
    return count


@jit(nogil=True)
def _add(columns: _Array, rows: _Array, query: _Array, totals: _Array) -> None:
    count, width = len(rows), columns.shape[1]
    for place in range(count):
        if place + _AHEAD < count:
            for byte in range(0, width, _LINE):
                _prefetch(columns, rows[place + _AHEAD] * width + byte)
        row, total = rows[place], np.int32(0)
        for column in range(width):
            total = np.int32(total + np.int32(np.int32(columns[row, column]) * np.int32(query[column])))
        totals[place] += total


@compiled(_int64(read(_int8, 2), read(_float32), read(_int8), _int64[::1], _int32[::1], _int64))
def prune(columns: _Array, factors: _Array, query: _Array, rows: _Array, totals: _Array, wanted: int) -> int:
    """Add inner products of the rows with the query; move the best `wanted`, and ties, to the front."""
    _add(columns, rows, query, totals)
    if len(rows) <= wanted:
        return len(rows)
    scores = np.empty(len(rows), np.float32)
    for place in range(len(rows)):
        scores[place] = np.float32(totals[place]) * factors[rows[place]]
    least, count = _bar(scores, wanted), 0
    for place in range(len(rows)):
        if scores[place] >= least:
            rows[count], totals[count] = rows[place], totals[place]
            count += 1
    return count


@compiled(types.void(read(_float32, 2), read(_int64), read(_float32), _float32[::1]), any_order=True)
def products(full: _Array, rows: _Array, query: _Array, out: _Array) -> None:
    """Inner products of these rows with a query, added up in float64."""
    width = full.shape[1]
    for place in range(len(rows)):
        row, total = rows[place], 0.0
        for column in range(width):
            total += np.float64(full[row, column]) * np.float64(query[column])
        out[place] = total
