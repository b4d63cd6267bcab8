"""Two evaluations of the same queries: how far apart they are, whether by chance, and on which queries."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from rag_plugins.errors import BadInput, require
from rag_plugins.evaluation.records import Record
from rag_plugins.evaluation.stages import Stage
from rag_plugins.types import JsonValue

__all__ = ["Change", "Comparison", "Difference", "compare", "paired"]


@dataclass(frozen=True, slots=True)
class Difference:
    """A measure before and after, over the same queries.

    `low` and `high` bound the gain with 95 % confidence; `p` is the chance of a difference as large where
    there is none, by the paired t-test (Smucker, Allan and Carterette 2007 find it to agree with the
    randomisation test). Both are NaN for a single query.
    """

    before: float
    after: float
    low: float
    high: float
    p: float
    better: int
    worse: int
    same: int

    @property
    def gain(self) -> float:
        """After less before."""
        return self.after - self.before

    @property
    def significant(self) -> bool:
        """At 5 %."""
        return self.p < 0.05

    def to_json(self) -> dict[str, JsonValue]:
        """Plain values, rounded to six digits; None for what is not known."""
        figures = {"before": self.before, "after": self.after, "gain": self.gain}
        figures |= {"low": self.low, "high": self.high, "p": self.p}
        rounded = {name: None if math.isnan(value) else round(value, 6) for name, value in figures.items()}
        return {**rounded, "better": self.better, "worse": self.worse, "same": self.same}


@dataclass(frozen=True, slots=True)
class Change:
    """One query: the measure before and after, and ids of what was found, best first."""

    query: str
    text: str
    before: float
    after: float
    found_before: tuple[str, ...]
    found_after: tuple[str, ...]

    @property
    def gain(self) -> float:
        """After less before."""
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class Comparison:
    """Of a stage of one run with a stage of another; `changes` are by the first measure, the worst first.

    `left_out`: queries that only one of them has, or that are judged otherwise in the other.
    """

    before: str
    after: str
    differences: Mapping[str, Difference]
    changes: tuple[Change, ...]
    left_out: int

    @property
    def better(self) -> tuple[Change, ...]:
        """Queries that gained, those that gained most first."""
        return tuple(change for change in reversed(self.changes) if change.gain > 0)

    @property
    def worse(self) -> tuple[Change, ...]:
        """Queries that lost, those that lost most first."""
        return tuple(change for change in self.changes if change.gain < 0)

    def to_json(self) -> dict[str, JsonValue]:
        """Plain values."""

        def listed(changes: Sequence[Change]) -> list[JsonValue]:
            return [
                {"query": c.query, "text": c.text, "before": round(c.before, 4), "after": round(c.after, 4)}
                for c in changes
            ]

        return {
            "before": self.before,
            "after": self.after,
            "queries": len(self.changes),
            "left_out": self.left_out,
            "measures": {name: each.to_json() for name, each in self.differences.items()},
            "better": listed(self.better),
            "worse": listed(self.worse),
        }


def compare(before: Record, after: Record, stage: str | None = None) -> Comparison:
    """By the stage of this label in both, or the last of each, on the queries that both judge alike.

    Raises `BadInput` where a run has no such stage, and where they have no such query in common.
    """
    old, new = _stage(before, stage), _stage(after, stage)
    measures = [name for name in old.each if name in new.each]
    shared = [id for id, grades in before.qrels.items() if after.qrels.get(id) == grades]
    if not shared or not measures:
        raise BadInput(
            f"{before.name} and {after.name} have no query in common that is judged alike, or no measure: "
            "compare evaluations of the same questions"
        )
    first = measures[0]
    changes = [
        Change(
            id,
            after.queries[id],
            old.each[first][id],
            new.each[first][id],
            _best(old, id),
            _best(new, id),
        )
        for id in shared
    ]
    return Comparison(
        before=f"{before.name}: {old.label}",
        after=f"{after.name}: {new.label}",
        differences={
            name: paired([old.each[name][id] for id in shared], [new.each[name][id] for id in shared])
            for name in measures
        },
        changes=tuple(sorted(changes, key=lambda change: (change.gain, change.query))),
        left_out=len(before.qrels.keys() | after.qrels.keys()) - len(shared),
    )


def paired(before: Sequence[float], after: Sequence[float]) -> Difference:
    """The same queries' values, in one order."""
    gains = [new - old for old, new in zip(before, after, strict=True)]
    low = high = p = math.nan
    if len(gains) > 1:
        if max(gains) - min(gains) < _SAME:  # No spread to tell chance by.
            low = high = fmean(gains)
            p = 1.0 if abs(low) < _SAME else 0.0
        else:
            stats: Any = require("scipy.stats", "evaluation")
            test = stats.ttest_rel(after, before)
            interval = test.confidence_interval(0.95)
            low, high, p = float(interval.low), float(interval.high), float(test.pvalue)
    return Difference(
        before=fmean(before),
        after=fmean(after),
        low=low,
        high=high,
        p=p,
        better=sum(gain > 0 for gain in gains),
        worse=sum(gain < 0 for gain in gains),
        same=sum(gain == 0 for gain in gains),
    )


_SAME = 1e-12
"""Gains no further apart are equal, but for the order of additions."""


def _stage(run: Record, label: str | None) -> Stage:
    found = run.stages.final if label is None else run.stages.named(label)
    if found is None:
        has = ", ".join(stage.label for stage in run.stages.all)
        raise BadInput(f"{run.name} has no stage {label!r}; it has: {has}")
    return found


_SHOWN = 5


def _best(stage: Stage, query: str) -> tuple[str, ...]:
    scores = stage.run.get(query, {})
    return tuple(sorted(scores, key=lambda id: (-scores[id], id))[:_SHOWN])
