"""Legs to fused rankings, for one query or several: what counts for a query is run, and fused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import cast

from rag_plugins.filters import Filter
from rag_plugins.legs.search import LegSearch, QueryVectors
from rag_plugins.lexical.rules import Query
from rag_plugins.models.protocols import Leg
from rag_plugins.search.fuser import Fuser
from rag_plugins.search.outcome import Outcome
from rag_plugins.search.weights import LegWeight
from rag_plugins.vectors import FloatArray, SparseVector

__all__ = ["Asking", "Finder"]


@dataclass(frozen=True, slots=True)
class Asking:
    """What all queries of one search have in common; `named`: the user asked for these legs.

    `depth` is the hits of a leg that has none of its own; `vectors` by leg are the first query's.
    """

    legs: Sequence[Leg]
    named: bool
    depth: int
    filter: Filter | None
    exact: bool
    vectors: Mapping[str, FloatArray]


class Finder:
    """Runs legs as they are weighed for each query."""

    def __init__(self, legs: LegSearch, fuser: Fuser, turn: AbstractContextManager[object]) -> None:
        """`turn` is held while legs are searched and fused, not while queries are encoded."""
        self._legs = legs
        self._fuser = fuser
        self._turn = turn

    def run(self, queries: Sequence[str | Query], asking: Asking) -> list[Outcome]:
        """Of each query what its legs find, fused; legs that count nothing for it are not run."""
        outcomes = [Outcome("adaptive", query) for query in queries]
        weights = [self._fuser.weights(query, asking.legs, named=asking.named) for query in queries]
        run = [_running(asking.legs, of_query) for of_query in weights]
        vectors: dict[str, Sequence[FloatArray] | Sequence[SparseVector]] = {}
        for n, (outcome, legs) in enumerate(zip(outcomes, run, strict=True)):
            self._search(outcome, legs, queries, vectors, n, asking)
            if not any(outcome.rankings.values()) and len(legs) < len(asking.legs):
                legs = asking.legs  # What is worth little is better than nothing.
                weights[n] = {
                    name: replace(each, value=each.value or 1.0) for name, each in weights[n].items()
                }
                self._search(outcome, legs, queries, vectors, n, asking)
            outcome.left_out = tuple(leg.name for leg in asking.legs if leg not in legs)
            with self._turn:
                self._fuser.fuse(legs, weights[n], outcome, asking.depth)
        return outcomes

    def _search(
        self,
        outcome: Outcome,
        legs: Sequence[Leg],
        queries: Sequence[str | Query],
        vectors: dict[str, Sequence[FloatArray] | Sequence[SparseVector]],
        n: int,
        asking: Asking,
    ) -> None:
        """Run those legs that have not run for query `n`; a leg's vectors are made of all queries at once."""
        if missing := [leg for leg in legs if self._legs.by_vector(leg) and leg.name not in vectors]:
            with outcome.timed("encode"):
                vectors.update(self._encoded(queries, missing, asking.vectors))
        for leg in legs:
            if leg.name not in outcome.rankings:
                vector = vectors[leg.name][n] if leg.name in vectors else None
                with self._turn:
                    self._rank(outcome, leg, vector, asking)

    def _rank(
        self, outcome: Outcome, leg: Leg, vector: FloatArray | SparseVector | None, asking: Asking
    ) -> None:
        with outcome.timed(leg.name, "leg", {"rag_plugins.leg": leg.name}) as current:
            depth = leg.depth or asking.depth
            found = self._legs.rank(leg, outcome.query, vector, depth, asking.filter, asking.exact)
            current.set_attribute("rag_plugins.found", len(found.ranking))
        outcome.rankings[leg.name] = found.ranking
        outcome.notices += found.notices
        if found.shortlist:
            outcome.shortlists[leg.name] = found.shortlist

    def _encoded(
        self, queries: Sequence[str | Query], legs: Sequence[Leg], given: Mapping[str, FloatArray]
    ) -> QueryVectors:
        """Vectors of all queries; those of the first are used as they are given."""
        made = self._legs.encode(queries, [leg for leg in legs if leg.name not in given])
        known = [leg for leg in legs if leg.name in given]
        rest = self._legs.encode(queries[1:], known) if queries[1:] else {}
        firsts = {leg.name: [given[leg.name], *rest.get(leg.name, ())] for leg in known}
        return {**made, **cast("QueryVectors", firsts)}


def _running(legs: Sequence[Leg], weights: Mapping[str, LegWeight]) -> Sequence[Leg]:
    return [leg for leg in legs if weights[leg.name].value > 0] or legs
