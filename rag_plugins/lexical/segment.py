"""Some passages of an index with their postings: never changed, so that a search sees one state of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rag_plugins.resident.lists import IntArray, Lists, merged, narrow, union
from rag_plugins.resident.selection import Mask
from rag_plugins.resident.strings import packed, unpacked
from rag_plugins.vectors import FloatArray

__all__ = ["Saturation", "Segment", "joined"]

Saturation: TypeAlias = Callable[[FloatArray], FloatArray]
"""S(d) by |d|, linear in it."""

Damping: TypeAlias = NDArray[np.float64]
"""S(d) by row."""


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """Rows of passages. `surfaces` number how often one is in a row, `units` where it stands.

    `ids` by row and `rows` by id; `alive` is false for rows that have been removed or replaced;
    `lengths` count the surfaces and `extents` the units of a row.
    """

    ids: Sequence[str]
    rows: Mapping[str, int]
    alive: Mask
    lengths: IntArray
    extents: IntArray
    surfaces: Lists
    units: Lists
    _damping: dict[tuple[float, ...], Damping] = field(default_factory=dict[tuple[float, ...], Damping])
    _elsewhere: list[tuple[Mapping[str, int], IntArray]] = field(
        default_factory=list[tuple[Mapping[str, int], IntArray]]
    )

    @classmethod
    def of(cls, ids: Sequence[str], surfaces: Sequence[IntArray], units: Sequence[IntArray]) -> Segment:
        """From the surfaces and the units of each passage as symbols, in reading order."""
        lengths, extents = _lengths(surfaces), _lengths(units)
        rows = np.arange(len(ids), dtype=np.int32)  # One type, so that one compiled loop reads them.
        positions = np.arange(extents.sum()) - np.repeat(np.cumsum(extents) - extents, extents)
        return cls(
            ids,
            {id: row for row, id in enumerate(ids)},
            np.ones(len(ids), np.bool_),
            lengths,
            extents,
            Lists.counted(np.concatenate(surfaces), np.repeat(rows, lengths)),
            Lists.of(np.concatenate(units), np.repeat(rows, extents), narrow(positions)),
        )

    @classmethod
    def loaded(cls, arrays: Mapping[str, NDArray[Any]], prefix: str) -> Segment:
        """What `arrays` gave, under names that begin so."""
        ids = unpacked(arrays[f"{prefix}ids"], arrays[f"{prefix}ends"])
        return cls(
            ids,
            dict(zip(ids, range(len(ids)), strict=True)),
            arrays[f"{prefix}alive"],
            arrays[f"{prefix}lengths"],
            arrays[f"{prefix}extents"],
            Lists.loaded(arrays, f"{prefix}surfaces/"),
            Lists.loaded(arrays, f"{prefix}units/"),
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """By name, for `loaded`."""
        ids, ends = packed(self.ids)
        surfaces = {f"surfaces/{name}": array for name, array in self.surfaces.arrays().items()}
        units = {f"units/{name}": array for name, array in self.units.arrays().items()}
        rows = {"alive": self.alive, "lengths": self.lengths, "extents": self.extents}
        return {"ids": ids, "ends": ends, **rows, **surfaces, **units}

    @property
    def symbols(self) -> IntArray:
        """Those that are in some row, removed ones included."""
        return union([self.surfaces.symbols, self.units.symbols])

    def damping(self, saturation: Saturation) -> Damping:
        """S(d) by row, remembered until it is another."""
        # Double precision from here on, whatever width counts have: equal passages score the same anywhere.
        key = tuple(saturation(np.array([0, 1], np.float32)).tolist())
        known = self._damping.get(key)
        if known is None:
            known = saturation(self.lengths.astype(np.float32)).astype(np.float64)
            self._damping.clear()
            self._damping[key] = known
        return known

    def mask(self, ids: Collection[str]) -> Mask:
        """The living rows of these passages."""
        mask = np.zeros(len(self.ids), np.bool_)
        mask[[self.rows[id] for id in ids if id in self.rows]] = True
        return mask & self.alive

    def holding(self, places: Mapping[str, int], holds: Mask) -> Mask:
        """The living rows whose passages `holds` is True for, at the place that each has by its id.

        A place may not become another's while the mapping is the same object: places are remembered.
        """
        if not (self._elsewhere and self._elsewhere[0][0] is places):
            found = np.fromiter((places.get(id, -1) for id in self.ids), np.int64, len(self.ids))
            self._elsewhere[:] = [(places, found)]
        # Beyond the end, and before the beginning, is nothing.
        padded = np.append(holds, False)
        return padded[np.minimum(self._elsewhere[0][1], len(holds))] & self.alive

    def without(self, mask: Mask) -> Segment:
        """These rows removed; their postings stay until segments are joined."""
        return dataclasses.replace(self, alive=self.alive & ~mask)

    def renamed(self, symbols: IntArray) -> Segment:
        """With symbol i for `symbols[i]`; they ascend, and are all that there are or more."""

        def of(lists: Lists) -> Lists:
            return dataclasses.replace(lists, symbols=narrow(np.searchsorted(symbols, lists.symbols)))

        return dataclasses.replace(self, surfaces=of(self.surfaces), units=of(self.units))


def joined(segments: Sequence[Segment]) -> Segment:
    """One segment of the living rows of several."""
    ids = [id for segment in segments for id, alive in zip(segment.ids, segment.alive, strict=True) if alive]
    moves = _moves([segment.alive for segment in segments])
    return Segment(
        ids,
        {id: row for row, id in enumerate(ids)},
        np.ones(len(ids), np.bool_),
        np.concatenate([segment.lengths[segment.alive] for segment in segments]),
        np.concatenate([segment.extents[segment.alive] for segment in segments]),
        merged([segment.surfaces.moved(to) for segment, to in zip(segments, moves, strict=True)]),
        merged([segment.units.moved(to) for segment, to in zip(segments, moves, strict=True)]),
    )


def _moves(masks: Sequence[Mask]) -> list[IntArray]:
    """For each row of each segment its row among the living of all, or -1."""
    alive = np.concatenate(masks)
    to = np.where(alive, np.cumsum(alive) - 1, -1).astype(np.int32)
    return np.split(to, np.cumsum([len(mask) for mask in masks])[:-1])


def _lengths(texts: Sequence[IntArray]) -> IntArray:
    return np.fromiter((len(text) for text in texts), np.int32, len(texts))
