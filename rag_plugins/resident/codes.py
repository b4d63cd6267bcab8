"""int8 codes of unit prefixes: what the pruning stages of a funnel compare in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rag_plugins.funnel import Prefixes
from rag_plugins.vectors import FloatArray, Matrix

__all__ = ["Codes", "Int8", "coded_widths", "quantised"]

Int8: TypeAlias = NDArray[np.int8]

_LEVELS = 127
_CHUNK = 8192


@dataclass(frozen=True, slots=True, eq=False)
class Codes:
    """Of n rows: `columns[k]` int8 (n, what stage k adds to the width of the one before), `factors[k]` (n,).

    The sum of a row's products with a query's columns, up to stage k, times its factor is its cosine at that
    stage's width but for rounding (and for the query's own scale, which changes no order).
    """

    columns: tuple[Int8, ...]
    factors: tuple[FloatArray, ...]

    @classmethod
    def empty(cls, widths: Sequence[int], rows: int) -> Codes:
        """Room for so many rows."""
        return cls(
            tuple(np.empty((rows, wide - narrow), np.int8) for narrow, wide in pairwise((0, *widths))),
            tuple(np.empty(rows, np.float32) for _ in widths),
        )

    def write(self, start: int, prefixes: Prefixes, vectors: Matrix) -> None:
        """Rows from `start` on get the codes of `vectors` (n, dim)."""
        widths = coded_widths(prefixes, vectors.shape[1])
        for first in range(0, len(vectors) if widths else 0, _CHUNK):
            part = vectors[first : first + _CHUNK]
            rows = slice(start + first, start + first + len(part))
            unit = prefixes.cut(np.asarray(part, np.float32), widths[-1])
            codes, scale = quantised(unit)
            for stage, (narrow, wide) in enumerate(pairwise((0, *widths))):
                norms = np.linalg.norm(unit[:, :wide], axis=1)
                self.columns[stage][rows] = codes[:, narrow:wide]
                self.factors[stage][rows] = scale / np.where(norms == 0.0, 1.0, norms)

    def take(self, rows: Any) -> Codes:
        """A copy of these rows, or a view of a slice."""
        return Codes(tuple(part[rows] for part in self.columns), tuple(part[rows] for part in self.factors))

    def fill(self, start: int, other: Codes) -> None:
        """Rows from `start` on are those of `other`."""
        for mine, theirs in zip(
            (*self.columns, *self.factors), (*other.columns, *other.factors), strict=True
        ):
            mine[start : start + len(theirs)] = theirs

    def arrays(self) -> dict[str, NDArray[Any]]:
        """By name, for `of`."""
        columns = {f"columns/{stage}": part for stage, part in enumerate(self.columns)}
        return columns | {f"factors/{stage}": part for stage, part in enumerate(self.factors)}

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]], stages: int) -> Codes:
        """What `arrays` gave."""
        columns = tuple(arrays[f"columns/{stage}"] for stage in range(stages))
        return cls(columns, tuple(arrays[f"factors/{stage}"] for stage in range(stages)))

    @property
    def nbytes(self) -> int:
        """Bytes in use."""
        return sum(part.nbytes for part in (*self.columns, *self.factors))


def coded_widths(prefixes: Prefixes | None, dim: int) -> tuple[int, ...]:
    """Widths of the stages that compare codes: all but the last, which does where it is narrower than dim."""
    if prefixes is None:
        return ()
    return tuple(stage.width for stage in prefixes.funnel.stages if stage.width < dim)


def quantised(vectors: Matrix | FloatArray) -> tuple[Int8, FloatArray]:
    """int8 codes of rows, the largest number of each being 127, and what each row of codes is to be scaled by."""
    scale = np.abs(vectors).max(axis=-1) / np.float32(_LEVELS)
    safe = np.where(scale == 0.0, np.float32(1.0), scale)
    return np.rint(vectors / safe[..., None]).astype(np.int8), scale.astype(np.float32)
