"""The rows of a collection in memory: ids, filters, and the vectors of every field, searched as one state."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import isnan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag_plugins.filters import Filter
from rag_plugins.funnel import Prefixes
from rag_plugins.resident.batch import Batch, FieldKind, Index
from rag_plugins.resident.columns import Columns
from rag_plugins.resident.dense import DenseIndex, IntArray, Mask
from rag_plugins.resident.sparse import SparseIndex
from rag_plugins.resident.state import State
from rag_plugins.vectors import FloatArray, Matrix, SparseVector

__all__ = ["Mask", "Table"]

_DEAD = 0.2
"""The table is made anew without replaced and deleted rows when they are more than this share of it."""


class Table:
    """One writer at a time; any number may read, who never wait and see whole batches or nothing of them."""

    def __init__(self, fields: Mapping[str, FieldKind]) -> None:
        """Without rows."""
        self._fields = dict(fields)
        indexes = {name: field.index() for name, field in fields.items()}
        self._state = State([], {}, Columns(), array("f"), indexes, np.zeros(0, np.bool_), 0)

    def __len__(self) -> int:
        return self._state.live

    def __contains__(self, id: str) -> bool:
        return id in self._state.at

    def search(
        self,
        field: str,
        query: FloatArray | SparseVector,
        limit: int,
        filter: Filter | None = None,
        *,
        exact: bool = False,
    ) -> list[tuple[str, float]]:
        """(id, score) of the nearest `limit` rows, higher is better, ties by id."""
        state = self._state
        index = state.indexes[field]
        mask = state.mask(filter)
        rows, scores = _searched(index, query, limit, mask, exact)
        if mask is None and len(index) > len(state.alive):
            # Rows came meanwhile, of a batch that is not whole yet.
            rows, scores = _searched(index, query, limit, state.alive, exact)
        found = zip(rows.tolist(), scores.tolist(), strict=True)
        return sorted(((state.ids[row], score) for row, score in found), key=_rank)[:limit]

    def ids(self, filter: Filter | None = None, field: str | None = None) -> list[str]:
        """Ids of the rows that a filter holds for, ascending; `field`: with a vector in this dense field."""
        state = self._state
        mask = state.mask(filter)
        rows = np.flatnonzero(state.alive if mask is None else mask)
        if field is not None:
            rows = state.dense(field).having(rows)
        return sorted(map(state.ids.__getitem__, rows.tolist()))

    def count(self, field: str) -> int:
        """How many rows have a vector in a dense field."""
        state = self._state
        return len(state.dense(field).having(np.flatnonzero(state.alive)))

    def confidences(self, ids: Iterable[str]) -> dict[str, float]:
        """Confidences by id, of the rows that have one."""
        state = self._state
        rows = ((id, state.at.get(id)) for id in ids)
        found = ((id, state.confidences[row]) for id, row in rows if row is not None)
        return {id: confidence for id, confidence in found if not isnan(confidence)}

    def located(self, filter: Filter | None = None) -> tuple[Mapping[str, int], Mask]:
        """The row of each id, and the rows that a filter holds for, of the first ones.

        Rows that are written later get places of their own; where ids move, the mapping is another object.
        """
        state = self._state
        holds = state.alive if filter is None else state.alive & state.columns.mask(filter, len(state.alive))
        return state.at, holds

    def known(self, ids: Iterable[str]) -> list[str]:
        """Those of these ids that there are, each once, in their order."""
        at = self._state.at
        return [id for id in dict.fromkeys(ids) if id in at]

    def matrix(self, field: str, ids: Sequence[str]) -> Matrix:
        """The full vectors of a dense field, (n, dim), in the order of `ids`, without missing ones."""
        state = self._state
        index = state.dense(field)
        rows = np.array([state.at[id] for id in ids if id in state.at], np.int64)
        return index.vectors(index.having(rows))

    def put(self, batch: Batch) -> None:
        """Append rows, in place of those of the same ids. After an exception the table is of no more use."""
        state = self._state
        rows = range(len(state.alive), len(state.alive) + len(batch.ids))
        for name, index in state.indexes.items():
            index.append(batch.vectors[name])  # pyright: ignore[reportArgumentType]
        state.columns.append(batch.documents)
        state.ids.extend(batch.ids)
        state.confidences.extend(batch.confidences)
        alive = np.concatenate([self._without(batch.ids), np.ones(len(batch.ids), np.bool_)])
        state.at.update(zip(batch.ids, rows, strict=True))
        self._publish(replace(state, alive=alive, live=len(state.at)))

    def relocate(self) -> None:
        """Let whoever remembers places (`located`) ask again: rows are put that did not change for others."""
        self._state = replace(self._state, at=dict(self._state.at))

    def remove(self, ids: Iterable[str]) -> None:
        """Rows of these ids are not found any more; absent ones do not matter."""
        state = self._state
        gone = self.known(ids)
        alive = self._without(gone)
        for id in gone:
            del state.at[id]
        self._publish(replace(state, alive=alive, live=len(state.at)))

    def prefixes(self, field: str) -> Prefixes | None:
        """How a field is searched; None: exactly."""
        index = self._state.indexes[field]
        return index.prefixes if isinstance(index, DenseIndex) else None

    def set_prefixes(self, field: str, prefixes: Prefixes | None) -> None:
        """Search a dense field so; None: exactly. Raises `BadInput` where they do not fit."""
        self._state.dense(field).set_prefixes(prefixes)

    def warm(self) -> None:
        """Search once in every way, so that nobody's first search is slower than the next."""
        state = self._state
        for name, index in state.indexes.items() if state.live else ():
            query = np.ones(index.dim, np.float32) if isinstance(index, DenseIndex) else _ANY_TERM
            for mask in (None, state.alive):
                for exact in (False, True):
                    _searched(self._state.indexes[name], query, 1, mask, exact)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All there is, by name: for `of`. Call it while nobody writes."""
        state = self._state
        packed = np.frombuffer(bytes.fromhex("".join(state.ids)), np.uint8)
        parts: dict[str, Mapping[str, NDArray[Any]]] = {
            "columns": state.columns.arrays(),
            **{f"fields/{name}": index.arrays() for name, index in state.indexes.items()},
        }
        named = {f"{part}/{name}": array for part, arrays in parts.items() for name, array in arrays.items()}
        confidences = np.array(state.confidences, np.float32)
        return {"ids": packed, "alive": state.alive, "confidences": confidences, **named}

    @classmethod
    def of(
        cls,
        arrays: Mapping[str, NDArray[Any]],
        fields: Mapping[str, FieldKind],
        prefixes: Mapping[str, Prefixes | None],
    ) -> Table:
        """What `arrays` gave, with the prefixes that its fields had."""
        table = cls(fields)
        alive = arrays["alive"]
        text = arrays["ids"].tobytes().hex()
        ids = [text[start : start + 64] for start in range(0, len(text), 64)]
        at = {ids[row]: row for row in np.flatnonzero(alive).tolist()}
        columns = Columns.of(_part(arrays, "columns/"))
        indexes = {
            name: field.loaded(_part(arrays, f"fields/{name}/"), prefixes.get(name))
            for name, field in fields.items()
        }
        confidences = array("f", arrays["confidences"].tobytes())
        table._state = State(ids, at, columns, confidences, indexes, alive, len(at))
        return table

    @property
    def nbytes(self) -> int:
        """Bytes of vectors, postings and columns; ids come on top, some 250 a row."""
        state = self._state
        return state.columns.nbytes + sum(index.nbytes for index in state.indexes.values())

    def _without(self, ids: Iterable[str]) -> Mask:
        """Which rows are alive but for those of these ids; a copy, since searches read the old one."""
        state = self._state
        alive = state.alive.copy()
        alive[[state.at[id] for id in ids if id in state.at]] = False
        return alive

    def _publish(self, state: State) -> None:
        if len(state.alive) - state.live > _DEAD * len(state.alive):
            state = state.compacted()
        self._state = state


_ANY_TERM = SparseVector.of({0: 1.0})


def _searched(
    index: Index, query: FloatArray | SparseVector, limit: int, mask: Mask | None, exact: bool
) -> tuple[IntArray, FloatArray]:
    if isinstance(index, SparseIndex):
        assert isinstance(query, SparseVector)  # noqa: S101
        return index.search(query, limit, mask)
    assert not isinstance(query, SparseVector)  # noqa: S101
    return index.search(query, limit, mask, exact=exact)


def _rank(hit: tuple[str, float]) -> tuple[float, str]:
    return -hit[1], hit[0]


def _part(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
