"""Stages of a funnel: how wide a prefix is compared, and how many passages go on to the next."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np

from rag_plugins.errors import BadInput
from rag_plugins.vectors import FloatArray, Matrix, truncate

__all__ = ["Funnel", "Stage", "StageLike"]

_HALVINGS = 5
"""From 1/32 of the width to all of it, as in funnel retrieval (arXiv:2205.13147, section 4.3)."""

_MARGIN = 2
"""A pruning stage keeps at least so many times the hits asked for, however few it was set to keep."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Compare the first `width` numbers of each vector; `keep` the best, None: as many as are asked for."""

    width: int
    keep: int | None = None

    def __post_init__(self) -> None:
        if self.width < 1 or (self.keep is not None and self.keep < 1):
            raise BadInput(f"stage ({self.width}, {self.keep}): width and keep are at least 1")


StageLike: TypeAlias = "Stage | Sequence[int | None]"
"""A stage, or (width, keep), or (width,)."""


@dataclass(frozen=True, slots=True)
class Funnel:
    """One search at the first stage's width, then what it kept re-scored at each wider one.

        Funnel([(96, 200), (384,)])     # the best 200 by their first 96 numbers, ranked by all 384
        Funnel([(96,)])                 # the prefix's own ranking

    Prefixes are scaled to unit length. The last stage keeps as many as a search asks for.
    """

    stages: tuple[Stage, ...]

    def __init__(self, stages: Iterable[StageLike]) -> None:
        """Raises `BadInput` unless widths rise, keeps do not, and every stage but the last has one."""
        made = tuple(_stage(stage) for stage in stages)
        object.__setattr__(self, "stages", made)
        if not made:
            raise BadInput("a funnel has at least one stage: (width, keep)")
        if any(narrow.width >= wide.width for narrow, wide in pairwise(made)):
            raise BadInput(f"{self}: widths must rise from stage to stage")
        keeps = [stage.keep for stage in made[:-1]]
        if None in keeps or made[-1].keep is not None:
            raise BadInput(f"{self}: every stage but the last has a keep, the last keeps what is asked for")
        if any(few < many for few, many in pairwise([keep or 0 for keep in keeps])):
            raise BadInput(f"{self}: a stage cannot keep more than the one before it")

    @classmethod
    def halving(cls, dim: int, keep: int = 512, trained: Collection[int] = ()) -> Funnel:
        """The classic schedule: 1/32, 1/16, … 1 of `dim`; each stage keeps half of what the last one did.

        Of a model that was `trained` for some prefixes, only these are used.
        """
        halved = dict.fromkeys(max(dim >> shift, 1) for shift in range(_HALVINGS, 0, -1))
        widths = [width for width in halved if width < dim and (not trained or width in trained)]
        return cls([*((width, max(keep >> n, 1)) for n, width in enumerate(widths)), (dim,)])

    @property
    def pruning(self) -> tuple[Stage, ...]:
        """All stages but the last."""
        return self.stages[:-1]

    @property
    def width(self) -> int:
        """What the last stage, and so the score of a hit, is computed from."""
        return self.stages[-1].width

    def kept(self, stage: Stage, limit: int) -> int:
        """How many a stage keeps in a search for `limit` hits: some more than that, whatever is set."""
        return limit if stage.keep is None else max(stage.keep, _MARGIN * limit)

    def check(self, dim: int) -> Funnel:
        """Itself. Raises `BadInput` where a stage is wider than vectors of `dim`."""
        if self.width > dim:
            raise BadInput(f"{self}: the vectors have {dim} numbers")
        return self

    def rank(self, query: FloatArray, matrix: Matrix, limit: int) -> list[tuple[int, float]]:
        """(row, score) of the best `limit` rows, ties by row: the reference that every store's search equals.

        `query` (dim,) and `matrix` (n, dim) are rotated already, where they are to be.
        """
        self.check(matrix.shape[1])
        rows = np.arange(len(matrix))
        scores = np.zeros(len(matrix), np.float32)
        for stage in self.stages:
            scores = truncate(matrix[rows], stage.width) @ truncate(query, stage.width)
            best = np.lexsort((rows, -scores))[: self.kept(stage, limit)]
            rows, scores = rows[best], scores[best]
        return list(zip(rows.tolist(), scores.tolist(), strict=True))

    def to_json(self) -> list[list[int]]:
        """As a configuration has it: [[96, 200], [384]]."""
        return [[stage.width] if stage.keep is None else [stage.width, stage.keep] for stage in self.stages]

    def __str__(self) -> str:
        parts = [
            str(stage.width) if stage.keep is None else f"{stage.width} ({stage.keep} kept)"
            for stage in self.stages
        ]
        return f"funnel {' -> '.join(parts)}"


def _stage(stage: StageLike) -> Stage:
    if isinstance(stage, Stage):
        return stage
    match tuple(stage):
        case (int(width),) | (int(width), None):
            return Stage(width)
        case (int(width), int(keep)):
            return Stage(width, keep)
        case other:
            raise BadInput(f"stage {other!r}: expected (width, keep), or (width,) for the last")
