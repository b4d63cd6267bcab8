"""What a lexical leg looks for once rules are expanded: the same for every term index.

    score(d) = sum over words t of      weight(t)         * tf(t, d) / (tf(t, d) + S(d))
             + sum over readings r of   weight(r)         * tf(r, d) / (tf(r, d) + S(d))
             + sum over groups g of     max over s in g of  weight(s) * tf(s, d) / (tf(s, d) + S(d))
             + sum over phrases p of    weight(p)         * tf(p, d) / (tf(p, d) + S(d))

with BM25's S(d) = k1 (1 - b + b |d| / L); the weights hold idf, dictionary weights and penalties. The tf of
readings is the sum of those of their surfaces, each by its share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from rag_plugins.filters import Filter
from rag_plugins.types import Passage

__all__ = ["AnyOf", "Nearby", "Plan", "Readings", "TermDictionary", "TermIndex"]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Surfaces that a rule stands for, with their weights; a passage's best one counts."""

    rule: str
    weights: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Readings:
    """Surfaces that one word, `rule`, may have been read as; each counts as its share, 0 to 1, of the word.

    No analysis may stem where there are readings: a surface and its term are the same.
    """

    rule: str
    shares: Mapping[str, float]
    weight: float


@dataclass(frozen=True, slots=True)
class Nearby:
    """Units that must stand in this order, moved by at most `slop` positions in all; 0 is the exact phrase.

    A match is a choice of one position p(i) for each unit i whose spread max(p(i) - i) - min(p(i) - i) is
    at most `slop` (Lucene's sloppy phrase).
    """

    rule: str
    units: tuple[str, ...]
    slop: int
    weight: float


@dataclass(frozen=True, slots=True)
class Plan:
    """The terms with their weights, the expanded rules, phrases, readings, and what the user should know."""

    words: Mapping[str, float]
    groups: tuple[AnyOf, ...] = ()
    phrases: tuple[Nearby, ...] = ()
    notices: tuple[str, ...] = ()
    readings: tuple[Readings, ...] = ()


class TermDictionary(Protocol):
    """The surfaces of a tenant's passages; each look-up gives at most `limit` of them, in a fixed order."""

    def prefix(self, start: str, limit: int) -> list[str]:
        """Surfaces that begin so, alphabetically."""
        ...

    def wildcard(self, pattern: str, limit: int) -> list[str]:
        """Surfaces that match as a whole, alphabetically; `*` is any run of characters, `?` any one."""
        ...

    def fuzzy(self, word: str, distance: int, limit: int) -> list[tuple[str, int]]:
        """Surfaces within that many edits (optimal string alignment), nearest first, then alphabetically."""
        ...


class TermIndex(Protocol):
    """Searches the text views of one tenant's passages by their terms, and knows which there are."""

    @property
    def dictionary(self) -> TermDictionary:
        """The surfaces there are."""
        ...

    def put(self, passages: Sequence[Passage]) -> None:
        """Take in passages that have just been stored, in place of those of the same ids."""
        ...

    def remove(self, ids: Sequence[str]) -> None:
        """Forget passages that have just been deleted."""
        ...

    def reset(self) -> None:
        """The analysis has changed, or rows are in doubt: read the rows again before the next search."""
        ...

    def prepare(self) -> None:
        """Do now what the next search would have to wait for."""
        ...

    def search(self, plan: Plan, limit: int, filter: Filter | None = None) -> list[tuple[str, float]]:
        """(passage id, score), best first, ties by id; only passages that score above 0."""
        ...
