"""What a search of the rows in memory sees at one time."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rag_plugins.filters import Filter
from rag_plugins.resident.batch import Index
from rag_plugins.resident.columns import Columns
from rag_plugins.resident.dense import DenseIndex, Mask

__all__ = ["State"]


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """What a search sees: the first `len(alive)` rows. Replaced with every batch.

    Lists and indexes grow at their end only. `at` has the row of every id that is alive.
    """

    ids: list[str]
    at: dict[str, int]
    columns: Columns
    confidences: array[float]
    indexes: Mapping[str, Index]
    alive: Mask
    live: int

    def mask(self, filter: Filter | None) -> Mask | None:
        """Rows that may be found, None for all of them."""
        if filter is not None:
            return self.alive & self.columns.mask(filter, len(self.alive))
        return None if self.live == len(self.alive) else self.alive

    def dense(self, field: str) -> DenseIndex:
        """The index of a dense field."""
        index = self.indexes[field]
        assert isinstance(index, DenseIndex)  # noqa: S101
        return index

    def compacted(self) -> State:
        """A copy of the rows that are alive."""
        rows = np.flatnonzero(self.alive)
        ids = [self.ids[row] for row in rows.tolist()]
        indexes = {name: index.kept(rows) for name, index in self.indexes.items()}
        at = {id: row for row, id in enumerate(ids)}
        confidences = array("f", np.array(self.confidences, np.float32)[rows].tobytes())
        alive = np.ones(len(rows), np.bool_)
        return State(ids, at, self.columns.kept(rows), confidences, indexes, alive, len(rows))
