"""Legs to one ranking: which count how much for a query, and what they say of each passage, added up."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from rag_plugins.config import FusionConfig
from rag_plugins.fusion import Learned, add_up, evidence, fuse, shares, shifted
from rag_plugins.lexical.rules import Query
from rag_plugins.models.protocols import Leg
from rag_plugins.search.outcome import Outcome
from rag_plugins.search.weights import LegWeight, adapted, fixed, plain
from rag_plugins.store.learned import LearnedRecord
from rag_plugins.store.milvus import MilvusStore

__all__ = ["Fuser"]


class Fuser:
    """Weighs the legs of each query, and fuses what they find.

    Adaptive fusion adds up evidence, by what the collection has told of the legs; before it has told
    anything, and where the user has weighed the legs, it is the weighted sum of min-max scores.
    """

    def __init__(
        self, store: MilvusStore, config: FusionConfig, record: LearnedRecord, literal: Collection[str]
    ) -> None:
        """`literal` names the legs that look for recall rules."""
        self._store = store
        self._config = config
        self._record = record
        self._literal = literal

    def learned(self, legs: Sequence[Leg]) -> Learned | None:
        """What these legs are fused by, None where not by evidence."""
        if self._config.method != "adaptive" or fixed(legs):
            return None
        learned = self._record.current
        return learned if learned and learned.fits(leg.name for leg in legs) else None

    def weights(self, query: str | Query, legs: Sequence[Leg], *, named: bool) -> dict[str, LegWeight]:
        """Of each leg, 0 for those that need not run, not for all; `named`: the user asked for these."""
        learned = self.learned(legs)
        if learned is None:
            return plain(legs)
        found = {leg.name: adapted(query, leg, learned, leg.name in self._literal, named) for leg in legs}
        if any(each.value > 0 for each in found.values()):
            return found
        # What little they say is all there is.
        return {name: replace(each, value=1.0) for name, each in found.items()}

    def fuse(
        self, legs: Sequence[Leg], weights: Mapping[str, LegWeight], outcome: Outcome, depth: int
    ) -> None:
        """Fuse the outcome's rankings of these legs: lists of at most `depth`, or a leg's own."""
        with outcome.timed("fusion"):
            learned = self.learned(legs)
            outcome.reasons = {name: weight.why for name, weight in weights.items()}
            given = {leg.name: weights[leg.name].value for leg in legs if outcome.rankings[leg.name]}
            outcome.shares = given if learned else shares(given)
            self._doubt(legs, outcome)
            if learned:
                outcome.fusion = "adaptive"
                scales = {name: learned.legs[name].scale for name in given}
                deep = {leg.name: leg.depth or depth for leg in legs}
                nats = {name: evidence(outcome.rankings[name], scales[name], deep[name]) for name in given}
                outcome.fused = add_up(nats, given, outcome.shifted)
            else:
                outcome.fusion = self._plain_method
                outcome.fused = fuse(
                    outcome.rankings, outcome.shares, outcome.fusion, self._config.rrf_k, outcome.shifted
                )

    @property
    def _plain_method(self) -> str:
        return "minmax" if self._config.method == "adaptive" else self._config.method

    def _doubt(self, legs: Sequence[Leg], outcome: Outcome) -> None:
        """Shift the weights of passages that were recognised with doubt to legs that this does not touch."""
        fragile = {leg.name for leg in legs if leg.reads == "text" and not leg.robust}
        if len(fragile) in (0, len(legs)):
            return
        ids = dict.fromkeys(id for ranking in outcome.rankings.values() for id, _ in ranking)
        sure = self._store.confidences(list(ids))
        outcome.confidences = {id: each for id, each in sure.items() if each < 1.0}
        outcome.shifted = {
            id: shifted(outcome.shares, fragile, each) for id, each in outcome.confidences.items()
        }
