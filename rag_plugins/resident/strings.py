"""Strings by number: distinct ones with codes and an order, any as one run of bytes."""

from __future__ import annotations

import sys
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

__all__ = ["Words", "packed", "unpacked"]

_ENTRY = 150
"""Bytes that a string takes in a list and a dictionary beside its own, about."""


class Words:
    """Distinct strings by code, in order of arrival. One writer, any number of readers."""

    def __init__(self, words: Iterable[str] = ()) -> None:
        self.words: list[str] = list(words)
        self._codes = {word: code for code, word in enumerate(self.words)}
        self._sorted: tuple[list[int], NDArray[np.int32]] = ([], np.zeros(0, np.int32))
        self.nbytes: int = sum(sys.getsizeof(word) + _ENTRY for word in self.words)

    def add(self, word: str) -> int:
        """Its code, a new one for a new string."""
        code = self._codes.get(word)
        if code is None:
            self.words.append(word)
            code = self._codes[word] = len(self.words) - 1
            self.nbytes += sys.getsizeof(word) + _ENTRY
        return code

    def code(self, word: str) -> int | None:
        """The code of a string that there is."""
        return self._codes.get(word)

    def compared(self, symbol: str, word: str) -> NDArray[np.bool_]:
        """Whether `string symbol word`, by code, in the order of code points."""
        order, ranks = self._ranked()
        edge = bisect_left if symbol in ("<", ">=") else bisect_right
        below = ranks < edge(order, word, key=self.words.__getitem__)
        return below if symbol in ("<", "<=") else ~below

    def _ranked(self) -> tuple[list[int], NDArray[np.int32]]:
        """Codes in the order of their strings, and the place of each code there."""
        order, ranks = self._sorted
        count = len(self.words)
        if len(order) < count:
            # What is sorted already makes the rest cheap.
            order = sorted([*order, *range(len(order), count)], key=self.words.__getitem__)
            ranks = np.empty(count, np.int32)
            ranks[order] = np.arange(count, dtype=np.int32)
            self._sorted = (order, ranks)
        return order, ranks


def packed(strings: Iterable[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """One run of bytes, and where each string ends in it."""
    data = [string.encode("utf-8", "surrogatepass") for string in strings]
    return np.frombuffer(b"".join(data), np.uint8), np.cumsum([len(part) for part in data], dtype=np.int64)


def unpacked(data: NDArray[np.uint8], ends: NDArray[np.int64]) -> list[str]:
    """The strings of `packed`."""
    whole = data.tobytes()
    return [whole[start:end].decode("utf-8", "surrogatepass") for start, end in pairwise([0, *ends.tolist()])]
