"""Loops over postings lists, compiled. Importing this module needs numba.

Each adds in the order and the precision of its numpy twin, so that scores are the same to the bit.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from rag_plugins.resident.compiling import compiled, jit, read, types

__all__ = ["add_best", "add_damped", "search", "top"]

_Array: TypeAlias = Any

_int16, _int32, _int64, _bool = types.int16, types.int32, types.int64, types.boolean
_float32, _float64 = types.float32, types.float64
_lists = (read(_int64), read(_int64), read(_int32))
"""Symbols, begins and rows of `Lists`; or where lists begin and end, and the rows of all."""

_FEW = 4
"""Where lists have less than this part of the rows, the best are looked for in the lists alone."""


@jit
def _lift(heap: _Array, place: int, score: float) -> None:
    """Add a score at the end of a heap whose least is first."""
    while place > 0 and heap[(place - 1) >> 1] > score:
        heap[place] = heap[(place - 1) >> 1]
        place = (place - 1) >> 1
    heap[place] = score


@jit
def _sink(heap: _Array, score: float) -> None:
    """Put a score in the place of the least."""
    place, child = 0, 1
    while child < len(heap):
        if child + 1 < len(heap) and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= score:
            break
        heap[place] = heap[child]
        place, child = child, 2 * child + 1
    heap[place] = score


@jit
def _offer(heap: _Array, filled: int, score: float) -> int:
    """Keep a score if it is one of the best; how many are kept."""
    if filled < len(heap):
        _lift(heap, filled, score)
        return filled + 1
    if score > heap[0]:
        _sink(heap, score)
    return filled


@jit
def _trimmed(found: _Array, found_scores: _Array, count: int, least: float) -> int:
    """Leave only what scores so much; how many do."""
    kept = 0
    for each in range(count):
        if found_scores[each] >= least:
            found[kept], found_scores[kept] = found[each], found_scores[each]
            kept += 1
    return kept


@compiled(
    *(_int64(read(number), read(_bool), _int64, _int32[::1], number[::1]) for number in (_float32, _float64))
)
def top(scores: _Array, mask: _Array, limit: int, found: _Array, found_scores: _Array) -> int:
    """Give the rows of the `limit` best scores above 0, ties of the last too, and these; how many.

    `mask`: which rows may be found, none of those beyond it.
    """
    heap = np.empty(limit, scores.dtype)
    filled = count = 0
    least = scores.dtype.type(0.0)
    for row in range(len(mask)):
        score = scores[row]
        if score > 0.0 and score >= least and mask[row]:
            found[count], found_scores[count] = row, score
            count += 1
            filled = _offer(heap, filled, score)
            if filled == limit:
                least = heap[0]
    return _trimmed(found, found_scores, count, least)


@compiled(
    _int64(
        *_lists,
        read(_float32),
        read(_int64),
        read(_float32),
        read(_bool),
        _int64,
        _float32[::1],
        _int32[::1],
        _float32[::1],
    )
)
def search(
    symbols: _Array,
    begins: _Array,
    rows: _Array,
    weights: _Array,
    terms: _Array,
    factors: _Array,
    mask: _Array,
    limit: int,
    scores: _Array,
    found: _Array,
    found_scores: _Array,
) -> int:
    """Add up factor times weight by row, then as `top`. `scores`: zeros, and left as such."""
    firsts, ends = np.empty(len(terms), np.int64), np.empty(len(terms), np.int64)
    added = 0
    for term in range(len(terms)):
        at = np.searchsorted(symbols, terms[term])
        known = at < len(symbols) and symbols[at] == terms[term]
        firsts[term], ends[term] = begins[at], begins[at + known]
        factor = factors[term]
        for place in range(firsts[term], ends[term]):
            scores[rows[place]] += factor * weights[place]
        added += ends[term] - firsts[term]
    if added * _FEW > len(scores):
        count = top(scores, mask, limit, found, found_scores)
        scores[:] = 0.0
        return count
    heap = np.empty(limit, np.float32)
    filled = count = 0
    least = np.float32(0.0)
    for term in range(len(terms)):
        for place in range(firsts[term], ends[term]):
            row = rows[place]
            score = scores[row]
            scores[row] = 0.0  # So none is found twice.
            if score > 0.0 and score >= least and row < len(mask) and mask[row]:
                found[count], found_scores[count] = row, score
                count += 1
                filled = _offer(heap, filled, score)
                if filled == limit:
                    least = heap[0]
    return _trimmed(found, found_scores, count, least)


_counts = (types.int8, _int16, _int32)


@compiled(
    *(
        types.void(
            *_lists, read(count), read(_float64), read(_int64), *[read(_float64)] * 2, *[_float64[::1]] * 2
        )
        for count in _counts
    )
)
def add_damped(
    begins: _Array,
    ends: _Array,
    rows: _Array,
    counts: _Array,
    shares: _Array,
    words: _Array,
    weights: _Array,
    damping: _Array,
    scratch: _Array,
    totals: _Array,
) -> None:
    """Add weight * tf / (tf + damping) for each word, its tf the sum over its lists of share * count.

    The lists of word i are those from `words[i]` to `words[i + 1]`. `scratch`: zeros, and left as such.
    """
    for word in range(len(weights)):
        weight = weights[word]
        first, last = words[word], words[word + 1]
        if last - first == 1:
            for place in range(begins[first], ends[first]):
                count, row = shares[first] * counts[place], rows[place]
                totals[row] += weight * count / (count + damping[row])
            continue
        for each in range(first, last):
            for place in range(begins[each], ends[each]):
                scratch[rows[place]] += shares[each] * counts[place]
        for each in range(first, last):
            for place in range(begins[each], ends[each]):
                row = rows[place]
                count = scratch[row]
                if count > 0.0:
                    totals[row] += weight * count / (count + damping[row])
                    scratch[row] = 0.0


@compiled(
    *(
        types.void(*_lists, read(count), read(_float64), read(_float64), *[_float64[::1]] * 2)
        for count in _counts
    )
)
def add_best(
    begins: _Array,
    ends: _Array,
    rows: _Array,
    counts: _Array,
    weights: _Array,
    damping: _Array,
    scratch: _Array,
    totals: _Array,
) -> None:
    """Add to each row in these lists the largest weight * tf / (tf + damping) of one of them, above 0."""
    for each in range(len(weights)):
        weight = weights[each]
        for place in range(begins[each], ends[each]):
            count, row = counts[place], rows[place]
            scratch[row] = max(scratch[row], weight * count / (count + damping[row]))
    for each in range(len(weights)):
        for place in range(begins[each], ends[each]):
            row = rows[place]
            totals[row] += scratch[row]
            scratch[row] = 0.0
