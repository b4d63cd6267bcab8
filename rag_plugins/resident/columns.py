"""Document ids and metadata of rows in typed columns: filters without a step of Python a row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from operator import and_, or_
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rag_plugins.filters import (
    DOCUMENT,
    And,
    Comparison,
    Contains,
    EmptyList,
    Exists,
    Filter,
    Includes,
    Not,
    Or,
    checked,
)
from rag_plugins.resident.strings import Words, packed, unpacked
from rag_plugins.resident.values import Cells, Column, Kind, Scalar
from rag_plugins.types import JsonValue

__all__ = ["Columns"]

Mask: TypeAlias = NDArray[np.bool_]

_Name: TypeAlias = tuple[str, bool]
"""A key, and whether these are the elements of its lists, of which a row may have any number."""

_DOCUMENTS: _Name = (DOCUMENT, False)


@dataclass(frozen=True, slots=True, eq=False)
class _Truth:
    """Rows that a filter surely holds for, and those that it may hold for; the same array where all is known.

    Whether a string is before a number is unknown, and so is the contrary: Milvus Lite's three values.
    """

    sure: Mask
    maybe: Mask

    @classmethod
    def joined(cls, parts: Sequence[_Truth], how: Any) -> _Truth:
        sure = reduce(how, (part.sure for part in parts))
        if all(part.maybe is part.sure for part in parts):
            return cls(sure, sure)
        return cls(sure, reduce(how, (part.maybe for part in parts)))

    def __invert__(self) -> _Truth:
        sure = ~self.maybe
        return _Truth(sure, sure if self.maybe is self.sure else ~self.sure)


class Columns:
    """Rows 0 … n-1, append-only. One writer and any number of readers, who never wait.

    A filter holds for what it holds for in Milvus Lite, but for one thing: true is not 1, as on servers.
    """

    def __init__(self) -> None:
        # What a filter calls doc_id is the document's, whatever the metadata says.
        self._columns: dict[_Name, Column] = {_DOCUMENTS: Column()}

    def __len__(self) -> int:
        return len(self._columns[_DOCUMENTS].cells)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(column.nbytes for column in list(self._columns.values()))

    def append(self, rows: Sequence[tuple[str, Mapping[str, JsonValue]]]) -> None:
        """The next rows: document id and metadata as they are stored."""
        start = len(self)
        found: dict[_Name, tuple[list[int], list[JsonValue]]] = {}
        for row, (_, metadata) in enumerate(rows, start):
            for name, value in _named(metadata):
                numbers, values = found.setdefault(name, ([], []))
                numbers.append(row)
                values.append(value)
        for name, (numbers, values) in found.items():
            if name not in self._columns:
                self._columns[name] = Column()
            self._columns[name].append(numbers, values)
        # Last, for it says how many rows there are.
        self._columns[_DOCUMENTS].append(range(start, start + len(rows)), [doc_id for doc_id, _ in rows])

    def mask(self, filter: Filter, rows: int) -> Mask:
        """Which of the first `rows` rows the filter holds for. Raises `BadFilter` where an engine would."""
        return self._truth(checked(filter), rows).sure

    def _truth(self, filter: Filter, rows: int) -> _Truth:
        match filter:
            case Comparison(key, "==" | "!=" as symbol, value):
                return self._equal(key, [value], rows, negated=symbol == "!=")
            case Comparison(key, symbol, value):
                return self._ordered(key, symbol, value, rows)
            case Exists(key):
                return self._known(key, rows, lambda column, cells: np.ones(len(cells), np.bool_))
            case Includes(key):
                return self._known(key, rows, lambda column, cells: column.matching(cells, filter.holds))
            case EmptyList(key):
                return self._known(key, rows, lambda column, cells: cells.kinds == Kind.EMPTY)
            case Contains(key, value):
                return self._having(key, value, rows)
            case And(parts):
                return self._joined([self._truth(part, rows) for part in parts], and_, rows)
            case Or(parts):
                return self._joined(self._alternatives(parts, rows), or_, rows)
            case Not(part):
                return ~self._truth(part, rows)

    def _joined(self, parts: Sequence[_Truth], how: Any, rows: int) -> _Truth:
        if parts:
            return _Truth.joined(parts, how)
        always = np.full(rows, how is and_)
        return _Truth(always, always)

    def _alternatives(self, parts: Iterable[Filter], rows: int) -> list[_Truth]:
        """Truth of each part, of all that ask a key for equality together: is_in may have many values."""
        wanted: dict[str, list[Scalar]] = {}
        truths: list[_Truth] = []
        for part in parts:
            if isinstance(part, Comparison) and part.operator == "==":
                wanted.setdefault(part.key, []).append(part.value)
            else:
                truths.append(self._truth(part, rows))
        return truths + [self._equal(key, values, rows) for key, values in wanted.items()]

    def _equal(self, key: str, values: Sequence[Scalar], rows: int, *, negated: bool = False) -> _Truth:
        return self._known(key, rows, lambda column, cells: column.among(cells, values) != negated)

    def _known(self, key: str, rows: int, holds: Callable[[Column, Cells], Mask]) -> _Truth:
        """Of a condition that is true or false, and false for rows without the key."""
        column = self._columns.get((key, False))
        if column is None:
            return self._joined((), or_, rows)
        cells = column.cells.until(rows)
        mask = _scattered(holds(column, cells), cells, rows)
        return _Truth(mask, mask)

    def _having(self, key: str, element: Scalar, rows: int) -> _Truth:
        mask = np.zeros(rows, np.bool_)
        if column := self._columns.get((key, True)):
            cells = column.cells.until(rows)
            mask[cells.rows[column.among(cells, [element])]] = True
        return _Truth(mask, mask)

    def _ordered(self, key: str, symbol: str, bound: Scalar, rows: int) -> _Truth:
        column = self._columns.get((key, False))
        if column is None:
            return self._joined((), or_, rows)
        cells = column.cells.until(rows)
        found, known = column.ordered(cells, symbol, bound)
        sure = _scattered(found, cells, rows)
        return _Truth(sure, sure if known.all() else _scattered(found | ~known, cells, rows))

    def kept(self, rows: NDArray[np.int64]) -> Columns:
        """A compacted copy: these rows, in this order."""
        places = np.full(len(self), -1, np.int64)
        places[rows] = np.arange(len(rows))
        kept = {name: column.kept(places) for name, column in self._columns.items()}
        return Columns._with({name: column for name, column in kept.items() if len(column.cells)})

    def arrays(self) -> dict[str, NDArray[Any]]:
        """For a snapshot; `of` reads it. Call it while nobody appends."""
        columns = list(self._columns.values())
        keys, key_ends = packed(key for key, _ in self._columns)
        words, word_ends = packed(word for column in columns for word in column.words.words)
        return {
            "keys": keys,
            "key_ends": key_ends,
            "of_elements": np.array([of_elements for _, of_elements in self._columns], np.bool_),
            "words": words,
            "word_ends": word_ends,
            "word_counts": np.array([len(column.words.words) for column in columns], np.int64),
            "cell_counts": np.array([len(column.cells) for column in columns], np.int64),
            "rows": np.concatenate([column.cells.rows for column in columns]),
            "kinds": np.concatenate([column.cells.kinds for column in columns]),
            "values": np.concatenate([column.cells.values for column in columns]),
        }

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]]) -> Columns:
        """What `arrays` gave."""
        keys = unpacked(arrays["keys"], arrays["key_ends"])
        names = zip(keys, arrays["of_elements"].tolist(), strict=True)
        words = unpacked(arrays["words"], arrays["word_ends"])
        cells = Cells(arrays["rows"], arrays["kinds"], arrays["values"], frozenset())
        of_words, of_cells = _spans(arrays["word_counts"]), _spans(arrays["cell_counts"])
        return cls._with(
            {
                name: Column(_seen(cells[mine]), Words(words[its]))
                for name, its, mine in zip(names, of_words, of_cells, strict=True)
            }
        )

    @classmethod
    def _with(cls, columns: dict[_Name, Column]) -> Columns:
        made = cls()
        made._columns |= columns
        return made


def _named(metadata: Mapping[str, JsonValue]) -> Iterator[tuple[_Name, JsonValue]]:
    """What there is to ask for, by column; null is nothing, and of lists in lists nothing is asked."""
    for key, value in metadata.items():
        if value is not None and key != DOCUMENT:
            yield (key, False), value
            for element in value if isinstance(value, list) else ():
                if isinstance(element, str | int | float):
                    yield (key, True), element


def _scattered(found: Mask, cells: Cells, rows: int) -> Mask:
    if len(cells) == rows:  # All of them have the key, in order.
        return found
    mask = np.zeros(rows, np.bool_)
    mask[cells.rows] = found
    return mask


def _seen(cells: Cells) -> Cells:
    kinds = frozenset(map(Kind, np.flatnonzero(np.bincount(cells.kinds)).tolist()))
    return Cells(cells.rows, cells.kinds, cells.values, kinds)


def _spans(counts: NDArray[np.int64]) -> list[slice]:
    return [slice(start, end) for start, end in pairwise([0, *np.cumsum(counts).tolist()])]
