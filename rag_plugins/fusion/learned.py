"""What a collection has told of its legs: kept beside it, as plain values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

from rag_plugins.fusion.evidence import Linear, NormalTail, Scale
from rag_plugins.types import JsonValue

__all__ = ["Learned", "LegWorth", "Source"]

Source: TypeAlias = Literal["known items", "labels"]
"""Queries made of the passages themselves, or those that somebody judged."""


@dataclass(frozen=True, slots=True)
class LegWorth:
    """A leg's scale, its weight (0: not run), nDCG@10 of it alone and of the others without it."""

    scale: Scale
    weight: float
    alone: float
    without: float


@dataclass(frozen=True, slots=True)
class Learned:
    """By leg its worth; nDCG@10 of all together, and on how many queries and passages it was measured.

    `gain` is what the weights add to it on fresh queries, where these are labels and enough to tell.
    """

    legs: Mapping[str, LegWorth]
    together: float
    queries: int
    rows: int
    source: Source
    gain: float | None = None

    def fits(self, legs: Iterable[str]) -> bool:
        """Whether it speaks of each of these legs."""
        return all(leg in self.legs for leg in legs)

    def to_json(self) -> dict[str, JsonValue]:
        """Plain values."""
        legs: dict[str, JsonValue] = {
            name: {
                "scale": _scale_to_json(worth.scale),
                "weight": worth.weight,
                "alone": worth.alone,
                "without": worth.without,
            }
            for name, worth in self.legs.items()
        }
        return {
            "legs": legs,
            "together": self.together,
            "queries": self.queries,
            "rows": self.rows,
            "source": self.source,
            "gain": self.gain,
        }

    @classmethod
    def from_json(cls, value: JsonValue) -> Learned | None:
        """None of what cannot be read: then it is learned anew."""
        try:
            stored = cast("dict[str, Any]", value)
            legs = {str(name): _worth(worth) for name, worth in stored["legs"].items()}
            source: Source = "labels" if stored["source"] == "labels" else "known items"
            gain = None if stored["gain"] is None else float(stored["gain"])
            together, queries, rows = float(stored["together"]), int(stored["queries"]), int(stored["rows"])
            return cls(legs, together, queries, rows, source, gain)
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
            return None


def _worth(stored: Mapping[str, Any]) -> LegWorth:
    weight, alone, without = (float(stored[name]) for name in ("weight", "alone", "without"))
    return LegWorth(_scale_of_json(stored["scale"]), weight, alone, without)


def _scale_to_json(scale: Scale) -> dict[str, JsonValue]:
    if isinstance(scale, NormalTail):
        return {"mean": scale.mean, "deviation": scale.deviation}
    return {"per_point": scale.per_point}


def _scale_of_json(stored: Mapping[str, Any]) -> Scale:
    if "per_point" in stored:
        return Linear(float(stored["per_point"]))
    return NormalTail(float(stored["mean"]), float(stored["deviation"]))
