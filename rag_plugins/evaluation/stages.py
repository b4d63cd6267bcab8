"""What each stage of a search made of the same queries, and how good that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Literal, TypeAlias

from rag_plugins.evaluation.measures import MEASURES, Measures, Qrels, Run, measure_each
from rag_plugins.types import JsonValue

__all__ = ["Kind", "Stage", "Stages"]

Kind: TypeAlias = Literal["leg", "funnel", "fusion", "rerank"]
"""A leg alone; a funnel's stage before the last; all legs fused; after a rerank stage."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage's run, and every measure of every query: `each[measure][query]`."""

    name: str
    kind: Kind
    run: Run
    each: Mapping[str, Mapping[str, float]]

    @classmethod
    def of(cls, name: str, kind: Kind, run: Run, qrels: Qrels, measures: Measures = MEASURES) -> Stage:
        """Measured by ir-measures; a query of the qrels without hits counts as zero."""
        return cls(name, kind, run, measure_each(run, qrels, measures))

    @property
    def means(self) -> dict[str, float]:
        """By measure, over all queries."""
        return {name: fmean(values.values()) for name, values in self.each.items()}

    @property
    def label(self) -> str:
        """As tables call it."""
        return f"reranked by {self.name}" if self.kind == "rerank" else self.name


@dataclass(frozen=True, slots=True)
class Stages:
    """In the order of a search: legs, each after the stages of its funnel, fusion, rerank stages."""

    all: tuple[Stage, ...]

    @property
    def legs(self) -> dict[str, dict[str, float]]:
        """Measures of each leg alone."""
        return self._means("leg")

    @property
    def fused(self) -> dict[str, float]:
        """Measures of all legs fused."""
        return self._means("fusion")["fused"]

    @property
    def reranks(self) -> dict[str, dict[str, float]]:
        """Measures after each rerank stage in turn."""
        return self._means("rerank")

    @property
    def reranked(self) -> dict[str, float] | None:
        """Measures after the last rerank stage, None where there is none."""
        return next(reversed(self.reranks.values()), None)

    @property
    def final(self) -> Stage:
        """What the user gets."""
        return self.all[-1]

    def named(self, label: str) -> Stage | None:
        """The stage of this label, None where there is none."""
        return next((stage for stage in self.all if stage.label == label), None)

    def to_json(self) -> dict[str, JsonValue]:
        """Plain values, rounded to four digits."""
        return {
            "legs": _rounded(self.legs),
            "funnel_stages": _rounded(self._means("funnel")),
            "fused": _rounded({"": self.fused})[""],
            "reranked": None if self.reranked is None else _rounded({"": self.reranked})[""],
            "rerank_stages": _rounded(self.reranks),
        }

    def _means(self, kind: Kind) -> dict[str, dict[str, float]]:
        return {stage.name: stage.means for stage in self.all if stage.kind == kind}


def _rounded(rows: Mapping[str, Mapping[str, float]]) -> dict[str, JsonValue]:
    return {name: {measure: round(value, 4) for measure, value in row.items()} for name, row in rows.items()}
