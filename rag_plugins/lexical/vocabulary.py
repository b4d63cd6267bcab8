"""A term dictionary in memory: sorted surfaces, and signatures of each one's characters.

A prefix is a bisection. Wildcards and edits first sieve signatures, 64 bits a surface: one bit for each
character in it, of which an edit changes at most two, and one for each pair of neighbours, both hashed; of
all of them an edit changes at most six.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import translate
from itertools import accumulate, islice
from threading import Lock
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import OSA
from rapidfuzz.process import cdist

__all__ = ["Vocabulary"]

_Bits: TypeAlias = NDArray[np.uint64]
"""Shape (n,), a signature a surface."""

_EDGE = "\n"
"""Stands before and behind every surface, so that edges make pairs too."""

_COMMON = "abcdefghijklmnopqrstuvwxyz0123456789-_."
"""Characters with a bit of their own; all others share what is left of the 64."""

_BITS = np.array([1 << len(_COMMON) + code % (64 - len(_COMMON)) for code in range(4096)], np.uint64)
_BITS[[ord(character) for character in _COMMON]] = [1 << bit for bit in range(len(_COMMON))]
_BITS[ord(_EDGE)] = 0


class Vocabulary:
    """The surfaces of a tenant's passages, as `TermDictionary` asks for them.

    Changes are collected and merged at the next look-up, which at 200,000 surfaces takes some tens of
    milliseconds. Any number of threads may read and write.
    """

    def __init__(self, surfaces: Iterable[str] = ()) -> None:
        """Repeats do no harm."""
        self._table = _table([])
        self._changes = dict.fromkeys(surfaces, True)
        self._changing = Lock()

    def add(self, surfaces: Iterable[str]) -> None:
        """Know them from now on."""
        with self._changing:
            self._changes |= dict.fromkeys(surfaces, True)

    def discard(self, surfaces: Iterable[str]) -> None:
        """Know them no longer."""
        with self._changing:
            self._changes |= dict.fromkeys(surfaces, False)

    def __len__(self) -> int:
        return len(self._merged().surfaces)

    def __contains__(self, surface: str) -> bool:
        return surface in self._merged()

    def prefix(self, start: str, limit: int) -> list[str]:
        """See `TermDictionary.prefix`."""
        table = self._merged()
        rows = table.within(start)
        return table.surfaces[rows.start : min(rows.stop, rows.start + limit)]

    def wildcard(self, pattern: str, limit: int) -> list[str]:
        """See `TermDictionary.wildcard`."""
        table = self._merged()
        fits = re.compile(translate(pattern.replace("[", "[[]"))).match
        surfaces = (table.surfaces[row] for row in _by_and_by(table.sieve_pattern(pattern)))
        return list(islice(filter(fits, surfaces), limit))

    def fuzzy(self, word: str, distance: int, limit: int) -> list[tuple[str, int]]:
        """See `TermDictionary.fuzzy`."""
        table = self._merged()
        surfaces = [table.surfaces[row] for row in table.sieve_edits(word, distance).tolist()]
        matrix = cdist([word], surfaces, scorer=OSA.distance, score_cutoff=distance, dtype=np.uint16)
        edits = matrix.ravel()
        near = sorted((int(edits[row]), surfaces[row]) for row in np.flatnonzero(edits <= distance))
        return [(surface, edits) for edits, surface in near[:limit]]

    def _merged(self) -> _Table:
        if self._changes:
            with self._changing:
                self._table = self._table.changed(self._changes)
                self._changes = {}
        return self._table


@dataclass(frozen=True, slots=True)
class _Table:
    """Surfaces in ascending order; the arrays run beside them."""

    surfaces: list[str]
    lengths: NDArray[np.int64]
    characters: _Bits
    pairs: _Bits

    def __contains__(self, surface: str) -> bool:
        row = bisect_left(self.surfaces, surface)
        return row < len(self.surfaces) and self.surfaces[row] == surface

    def changed(self, changes: Mapping[str, bool]) -> _Table:
        """With surfaces that are now known (True) or no longer (False)."""
        gone = {surface for surface, known in changes.items() if not known and surface in self}
        new = _table(sorted(surface for surface, known in changes.items() if known and surface not in self))
        kept = self._without(gone) if gone else self
        return kept._with(new) if new.surfaces else kept

    def within(self, start: str) -> range:
        """The rows whose surfaces begin so."""
        first = bisect_left(self.surfaces, start)
        end = bisect_right(self.surfaces, start, first, key=lambda surface: surface[: len(start)])
        return range(first, end)

    def sieve_pattern(self, pattern: str) -> NDArray[np.int64]:
        """The rows that have the pattern's characters and pairs of neighbours, and are long enough."""
        rows = self.within(re.split(r"[*?]", pattern)[0])
        here = slice(rows.start, rows.stop)
        pieces = re.split(r"[*?]+", f"{_EDGE}{pattern}{_EDGE}")
        characters = _union(_character_bits("".join(pieces).replace(_EDGE, "")))
        pairs = _union(np.concatenate([_pair_bits(piece) for piece in pieces]))
        fit = (self.characters[here] & characters) == characters
        fit &= (self.pairs[here] & pairs) == pairs
        fit &= self.lengths[here] >= len(pattern) - pattern.count("*")
        return np.flatnonzero(fit) + rows.start

    def sieve_edits(self, word: str, distance: int) -> NDArray[np.int64]:
        """The rows whose characters, lengths and pairs so many edits may change into the word's."""
        bits, pairs = _union(_character_bits(word)), _union(_pair_bits(f"{_EDGE}{word}{_EDGE}"))
        changed = np.bitwise_count(self.characters ^ bits)
        rows = np.flatnonzero(changed <= 2 * distance)
        rows = rows[np.abs(self.lengths[rows] - len(word)) <= distance]
        # Two characters and four pairs, or of neighbours that swap six pairs.
        return rows[changed[rows] + np.bitwise_count(self.pairs[rows] ^ pairs) <= 6 * distance]

    def _without(self, gone: set[str]) -> _Table:
        rows = [bisect_left(self.surfaces, surface) for surface in gone]
        return _Table(
            [surface for surface in self.surfaces if surface not in gone],
            np.delete(self.lengths, rows),
            np.delete(self.characters, rows),
            np.delete(self.pairs, rows),
        )

    def _with(self, new: _Table) -> _Table:
        rows = [bisect_left(self.surfaces, surface) for surface in new.surfaces]
        return _Table(
            sorted(self.surfaces + new.surfaces),  # Two sorted runs, which sorting only merges.
            np.insert(self.lengths, rows, new.lengths),
            np.insert(self.characters, rows, new.characters),
            np.insert(self.pairs, rows, new.pairs),
        )


def _table(surfaces: list[str]) -> _Table:
    lengths = np.fromiter(map(len, surfaces), np.int64, len(surfaces))
    if not surfaces:
        return _Table([], lengths, np.empty(0, np.uint64), np.empty(0, np.uint64))
    text = _EDGE + _EDGE.join(surfaces) + _EDGE
    starts = np.fromiter(
        accumulate(lengths.tolist()[:-1], lambda a, b: a + b + 1, initial=0), np.int64, len(surfaces)
    )
    return _Table(
        surfaces,
        lengths,
        np.bitwise_or.reduceat(_character_bits(text[1:]), starts),
        np.bitwise_or.reduceat(_pair_bits(text), starts),
    )


def _character_bits(text: str) -> _Bits:
    """A bit for each character; an edge has none."""
    return _BITS[_codes(text) % len(_BITS)]


def _pair_bits(text: str) -> _Bits:
    """A bit for each character and its neighbour."""
    codes = _codes(text)
    hashes = (codes[:-1] * np.uint32(0x9E3779B1) + codes[1:] * np.uint32(0x85EBCA77)) >> np.uint32(26)
    return np.uint64(1) << hashes.astype(np.uint64)


def _codes(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def _union(bits: _Bits) -> np.uint64:
    return np.bitwise_or.reduce(bits, initial=np.uint64(0))


def _by_and_by(rows: NDArray[np.int64]) -> Iterator[int]:
    """One after the other, without making all of them Python's own at once."""
    for start in range(0, len(rows), 256):
        yield from rows[start : start + 256].tolist()
