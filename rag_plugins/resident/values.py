"""The values of one metadata key in memory, and which of them a comparison holds for."""

from __future__ import annotations

import math
import operator
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import reduce
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rag_plugins.resident.strings import Words
from rag_plugins.types import JsonValue

__all__ = ["Cells", "Column", "Kind", "Scalar"]

Scalar: TypeAlias = str | int | float | bool


class Kind(IntEnum):
    """What a value is, and so how its 64 bits are read."""

    STRING = 0
    INT = 1
    UINT = 2
    """An integer from 2**63 on."""
    FLOAT = 3
    BOOL = 4
    OTHER = 5
    """A list or an object: there, and nothing else can be asked of it."""
    EMPTY = 6
    """A list without elements."""


_NUMBERS = (Kind.INT, Kind.UINT, Kind.FLOAT, Kind.BOOL)
_DTYPES = {
    Kind.STRING: np.int64,
    Kind.INT: np.int64,
    Kind.UINT: np.uint64,
    Kind.FLOAT: np.float64,
    Kind.BOOL: np.int64,
    Kind.OTHER: np.int64,
    Kind.EMPTY: np.int64,
}
_BOUNDS = {Kind.INT: (-(2**63), 2**63 - 1), Kind.UINT: (2**63, 2**64 - 1), Kind.BOOL: (0, 1)}
_ORDER: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_FEW = 16


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Values of the rows that have one, ascending: row, kind, 64 bits. `seen`: which kinds there are."""

    rows: NDArray[np.int32]
    kinds: NDArray[np.uint8]
    values: NDArray[np.int64]
    seen: frozenset[Kind]

    def __len__(self) -> int:
        return len(self.rows)

    def until(self, row: int) -> Cells:
        """Those of the rows before `row`."""
        end = int(np.searchsorted(self.rows, row))
        return self if end == len(self) else self[:end]

    def __getitem__(self, part: Any) -> Cells:
        return Cells(self.rows[part], self.kinds[part], self.values[part], self.seen)

    def places(self, kind: Kind) -> Any:
        """An index that picks the values of a kind."""
        return slice(None) if len(self.seen) == 1 else np.flatnonzero(self.kinds == kind)


class Column:
    """The values of one key. `cells` is replaced as a whole, so that a reader never sees half of them."""

    def __init__(self, cells: Cells | None = None, words: Words | None = None) -> None:
        self.words: Words = words or Words()
        self.cells: Cells = cells or Cells(
            np.zeros(0, np.int32), np.zeros(0, np.uint8), np.zeros(0, np.int64), frozenset()
        )
        self._room = self.cells

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        room = self._room
        return room.rows.nbytes + room.kinds.nbytes + room.values.nbytes + self.words.nbytes

    def append(self, rows: Sequence[int], values: Sequence[JsonValue]) -> None:
        """Values, none of them null, of rows after all there are."""
        old, count = len(self.cells), len(self.cells) + len(rows)
        if count > len(self._room):
            self._room = _roomier(self.cells, count)
        coded = [self._coded(value) for value in values]
        kinds = [kind for kind, _ in coded]
        self._room.rows[old:count] = rows
        self._room.kinds[old:count] = kinds
        self._room.values[old:count] = [bits for _, bits in coded]
        used = self._room[:count]
        self.cells = Cells(used.rows, used.kinds, used.values, self.cells.seen.union(kinds))

    def _coded(self, value: JsonValue) -> tuple[Kind, int]:
        match value:
            case bool():
                return Kind.BOOL, int(value)
            case str():
                return Kind.STRING, self.words.add(value)
            case int():
                return (Kind.INT, value) if value < 2**63 else (Kind.UINT, value - 2**64)
            case float():
                return Kind.FLOAT, struct.unpack("=q", struct.pack("=d", value))[0]
            case []:
                return Kind.EMPTY, 0
            case _:
                return Kind.OTHER, 0

    def among(self, cells: Cells, wanted: Iterable[Scalar]) -> NDArray[np.bool_]:
        """Which of the cells equal one of some values; never one of another type, and a bool is no number."""
        by_kind: dict[Kind, set[Any]] = {}
        for value in wanted:
            for kind, stored in self._stored(value):
                by_kind.setdefault(kind, set()).add(stored)
        found = np.zeros(len(cells), np.bool_)
        for kind in cells.seen.intersection(by_kind):
            places = cells.places(kind)
            found[places] = _is_in(cells.values[places].view(_DTYPES[kind]), kind, by_kind[kind])
        return found

    def _stored(self, value: Scalar) -> Iterable[tuple[Kind, int | float]]:
        """A value as cells of each kind could have it, exactly."""
        if isinstance(value, bool):
            return [(Kind.BOOL, int(value))]
        if isinstance(value, str):
            code = self.words.code(value)
            return [] if code is None else [(Kind.STRING, code)]
        kinds = (Kind.INT, Kind.UINT, Kind.FLOAT)
        floors = [(kind, _floor(kind, value)) for kind in kinds]
        return [(kind, floor) for kind, floor in floors if floor is not None and floor == value]

    def matching(self, cells: Cells, holds: Callable[[str], bool]) -> NDArray[np.bool_]:
        """Which of the cells are strings that a condition holds for; it is asked once a string."""
        found = np.zeros(len(cells), np.bool_)
        if Kind.STRING in cells.seen:
            places = cells.places(Kind.STRING)
            found[places] = np.array([holds(word) for word in self.words.words], np.bool_)[
                cells.values[places]
            ]
        return found

    def ordered(
        self, cells: Cells, symbol: str, bound: Scalar
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which of the cells are `symbol bound` (<, <=, >, >=), and which can be compared with it at all.

        Strings compare by code point, numbers by their exact values, a bool as 0 or 1.
        """
        found = np.zeros(len(cells), np.bool_)
        known = np.zeros(len(cells), np.bool_)
        for kind in cells.seen.intersection((Kind.STRING,) if isinstance(bound, str) else _NUMBERS):
            places = cells.places(kind)
            values: NDArray[Any] = cells.values[places].view(_DTYPES[kind])
            known[places] = True
            if isinstance(bound, str):
                found[places] = self.words.compared(symbol, bound)[values]
            else:
                found[places] = _numbers_ordered(values, kind, symbol, bound)
        return found, known

    def kept(self, places: NDArray[np.int64]) -> Column:
        """A compacted copy: row n becomes places[n], and goes where that is negative."""
        rows = places[self.cells.rows]
        there = np.flatnonzero(rows >= 0)
        there = there[np.argsort(rows[there], kind="stable")]
        kinds, values = self.cells.kinds[there], self.cells.values[there]
        strings = kinds == Kind.STRING
        used, values[strings] = np.unique(values[strings], return_inverse=True)
        words = Words(self.words.words[code] for code in used.tolist())
        seen = frozenset(map(Kind, np.unique(kinds).tolist()))
        return Column(Cells(rows[there].astype(np.int32), kinds, values, seen), words)


def _roomier(cells: Cells, count: int) -> Cells:
    room = max(count, 2 * len(cells))
    rows, kinds, values = np.empty(room, np.int32), np.empty(room, np.uint8), np.empty(room, np.int64)
    for new, old in ((rows, cells.rows), (kinds, cells.kinds), (values, cells.values)):
        new[: len(cells)] = old
    return Cells(rows, kinds, values, cells.seen)


def _is_in(values: NDArray[Any], kind: Kind, wanted: set[Any]) -> NDArray[np.bool_]:
    sought = np.array(sorted(wanted), _DTYPES[kind])
    # numpy sorts what it looks in: for a few values more work than comparing with each.
    return (
        np.isin(values, sought)
        if len(sought) > _FEW
        else reduce(operator.or_, (values == one for one in sought))
    )


def _numbers_ordered(values: NDArray[Any], kind: Kind, symbol: str, bound: float) -> NDArray[np.bool_]:
    """`values symbol bound` as real numbers: neither is rounded to the type of the other."""
    floor = _floor(kind, bound)
    if floor is None:
        return np.full(len(values), symbol in (">", ">="))
    if floor != bound:  # No value is the bound itself, so that below it and at most it are the same.
        symbol = {"<": "<=", ">=": ">"}.get(symbol, symbol)
    return _ORDER[symbol](values, _DTYPES[kind](floor))


def _floor(kind: Kind, number: float) -> int | float | None:
    """The greatest number of a kind that is not above another; None where all are."""
    if kind is Kind.FLOAT:
        near = float(number)
        return near if near <= number else math.nextafter(near, -math.inf)
    least, most = _BOUNDS[kind]
    whole = math.floor(number)
    return None if whole < least else min(whole, most)
