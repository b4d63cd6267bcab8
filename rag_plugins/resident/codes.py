"""int8 codes of unit prefixes: what the pruning stages of a funnel compare in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag_plugins.funnel import Prefixes
from rag_plugins.resident import kernels
from rag_plugins.resident.kernels import GROUP, Int8, IntArray
from rag_plugins.vectors import FloatArray, Matrix

__all__ = ["Codes", "coded_widths", "quantised"]

_LEVELS = 127
_CHUNK = 8192


@dataclass(frozen=True, slots=True, eq=False)
class Codes:
    """Of n rows: `columns[k]` int8 (n, what stage k adds to the width of the one before), `factors[k]` (n,).

    The sum of a row's products with a query's columns, up to stage k, times its factor is its cosine at that
    stage's width but for rounding (and for the query's own scale, which changes no order). `sketch` has the
    upper halves of `columns[0]` in the order that a scan reads them in. There may be room for more rows.
    """

    widths: tuple[int, ...]
    columns: tuple[Int8, ...]
    factors: tuple[FloatArray, ...]
    sketch: NDArray[Any]

    @classmethod
    def empty(cls, widths: tuple[int, ...], rows: int) -> Codes:
        """Room for so many rows."""
        room = -(-rows // GROUP) * GROUP
        columns = tuple(np.empty((room, wide - narrow), np.int8) for narrow, wide in pairwise((0, *widths)))
        factors = tuple(np.empty(room, np.float32) for _ in widths)
        return cls(widths, columns, factors, kernels.room(columns[0]))

    def write(self, start: int, prefixes: Prefixes, vectors: NDArray[Any]) -> None:
        """Rows from `start` on get the codes of `vectors` (n, dim)."""
        for first in range(0, len(vectors), _CHUNK):
            part = vectors[first : first + _CHUNK].astype(np.float32, copy=False)
            self._write(start + first, prefixes.cut(part, self.widths[-1]))

    def _write(self, start: int, unit: Matrix) -> None:
        end = start + len(unit)
        codes, scale = quantised(unit)
        for stage, (narrow, wide) in enumerate(pairwise((0, *self.widths))):
            norms = np.linalg.norm(unit[:, :wide], axis=1)
            self.columns[stage][start:end] = codes[:, narrow:wide]
            self.factors[stage][start:end] = scale / np.where(norms == 0.0, 1.0, norms)
        kernels.fill(self.sketch, self.columns[0], start, end)

    def grown(self, rows: int, more: int) -> Codes:
        """The first `rows` rows, with room for `more` after them: itself where there is."""
        room = len(self.columns[0])
        if rows + more <= room:
            return self
        other = Codes.empty(self.widths, max(rows + more, rows + rows // 2))
        for mine, new in zip((*self.columns, *self.factors), (*other.columns, *other.factors), strict=True):
            new[:rows] = mine[:rows]
        kernels.fill(other.sketch, other.columns[0], 0, rows)
        return other

    def take(self, rows: IntArray) -> Codes:
        """A copy of these rows."""
        return Codes.of(
            {name: part[rows] for name, part in self.arrays(len(self.columns[0])).items()}, self.widths
        )

    def arrays(self, rows: int) -> dict[str, NDArray[Any]]:
        """The first `rows` rows by name, for `of`."""
        columns = {f"columns/{stage}": part[:rows] for stage, part in enumerate(self.columns)}
        return columns | {f"factors/{stage}": part[:rows] for stage, part in enumerate(self.factors)}

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]], widths: tuple[int, ...]) -> Codes:
        """What `arrays` gave."""
        columns = tuple(arrays[f"columns/{stage}"] for stage in range(len(widths)))
        factors = tuple(_whole_groups(arrays[f"factors/{stage}"]) for stage in range(len(widths)))
        codes = cls(widths, columns, factors, kernels.room(columns[0]))
        kernels.fill(codes.sketch, columns[0], 0, len(columns[0]))
        return codes

    def nbytes(self, rows: int) -> int:
        """Bytes in use by the first `rows` rows."""
        sketch = (
            0 if self.sketch is self.columns[0] else rows * self.sketch.nbytes // max(len(self.columns[0]), 1)
        )
        return sketch + sum(part.nbytes for part in self.arrays(rows).values())


def _whole_groups(factors: FloatArray) -> FloatArray:
    """With room for as many rows as are scanned at once."""
    return np.pad(factors, (0, -len(factors) % GROUP))


def coded_widths(prefixes: Prefixes | None, dim: int) -> tuple[int, ...]:
    """Widths of the stages that compare codes: all that are narrower than the vectors."""
    if prefixes is None:
        return ()
    return tuple(stage.width for stage in prefixes.funnel.stages if stage.width < dim)


def quantised(vectors: Matrix | FloatArray) -> tuple[Int8, FloatArray]:
    """int8 codes of rows, the largest number of each 127, and what each row of codes is scaled by."""
    scale = np.abs(vectors).max(axis=-1) / np.float32(_LEVELS)
    safe = np.where(scale == 0.0, np.float32(1.0), scale)
    return np.rint(vectors / safe[..., None]).astype(np.int8), scale.astype(np.float32)
