"""The retriever: legs -> fusion -> rerank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import get_args

from rag_plugins.config import FusionConfig, Mode
from rag_plugins.errors import BadInput
from rag_plugins.filters import Filter
from rag_plugins.legs.search import LegSearch
from rag_plugins.lexical.rules import Query, has_rules, words
from rag_plugins.models.protocols import Leg
from rag_plugins.search.cascade import Cascade
from rag_plugins.search.explain import Explainer
from rag_plugins.search.fuser import Fuser
from rag_plugins.search.outcome import Outcome
from rag_plugins.search.queries import asked, joined, weighed
from rag_plugins.search.reranking import RerankStage
from rag_plugins.search.weights import LegWeight
from rag_plugins.store.milvus import MilvusStore
from rag_plugins.store.schema import MAX_HITS
from rag_plugins.types import Hit, Hits
from rag_plugins.vectors import FloatArray, SparseVector

__all__ = ["HybridRetriever"]


class HybridRetriever:
    """Any number of legs over one store, fused into one ranking, its head reranked."""

    def __init__(
        self,
        store: MilvusStore,
        legs: LegSearch,
        fuser: Fuser,
        fusion: FusionConfig,
        rerank: Sequence[RerankStage] = (),
        mode: Mode = "auto",
    ) -> None:
        """`legs` are searched as `fuser` weighs them for each query."""
        self._store = store
        self._legs = legs
        self._fuser = fuser
        self._fusion = fusion
        self._mode: Mode = mode
        self._cascade = Cascade(store, rerank)
        self._explainer = Explainer(store, list(legs.legs.values()), legs.lexical)

    def search(
        self,
        query: str | Query,
        k: int = 5,
        *,
        filter: Filter | None = None,
        legs: Sequence[str] | None = None,
        mode: Mode | None = None,
        explain: bool = False,
    ) -> Hits:
        """The best k passages; a blank query finds nothing. Raises `BadInput` and `StoreError`."""
        return self.search_many([query], k, filter=filter, legs=legs, mode=mode, explain=explain)

    def search_many(
        self,
        queries: Sequence[str | Query],
        k: int = 5,
        *,
        weights: Sequence[float] | None = None,
        filter: Filter | None = None,
        legs: Sequence[str] | None = None,
        mode: Mode | None = None,
        explain: bool = False,
    ) -> Hits:
        """The best k passages for several queries, reranked for the first that is not blank."""
        outcome = self._run(queries, k, weights=weights, filter=filter, legs=legs, mode=mode)
        best = outcome.final[:k]
        ids = [id for id, _ in best]
        passages = self._store.fetch(ids) if ids else {}
        traces = outcome.traces(ids)
        # A passage deleted by someone else since the legs ran is no longer a hit.
        assets = self._store.assets
        hits = [Hit(passages[id], score, traces[id], assets=assets) for id, score in best if id in passages]
        return Hits(self._explainer.explained(hits, outcome) if explain else hits, outcome.notices)

    def run(
        self,
        query: str | Query,
        k: int,
        *,
        filter: Filter | None = None,
        legs: Sequence[str] | None = None,
        mode: Mode | None = None,
        depth: int | None = None,
        exact: bool = False,
    ) -> Outcome:
        """Run every stage and keep what each made of the query.

        `depth` is the hits a leg may give; `exact` searches dense legs without their funnel.
        """
        return self._run([query], k, filter=filter, legs=legs, mode=mode, depth=depth, exact=exact)

    def _run(
        self,
        queries: Sequence[str | Query],
        k: int,
        *,
        weights: Sequence[float] | None = None,
        filter: Filter | None = None,
        legs: Sequence[str] | None = None,
        mode: Mode | None = None,
        depth: int | None = None,
        exact: bool = False,
    ) -> Outcome:
        given = asked(queries)
        chosen = self._chosen(legs, mode or self._mode, given)
        if not 1 <= k <= MAX_HITS:
            raise BadInput(f"k is {k}: expected 1 to {MAX_HITS}")
        depth = depth or self._fusion.depth or min(max(4 * k, 100), MAX_HITS)
        weight = weighed(given, weights)
        asking = _Asking(chosen, legs is not None, depth, filter, exact)
        outcome = joined(self._outcomes(list(weight), asking), weight.values(), self._fusion)
        if weight:
            self._cascade.run(next(read for query in given if (read := words(query))), k, outcome)
        return outcome

    def _chosen(self, names: Sequence[str] | None, mode: Mode, queries: Sequence[str | Query]) -> list[Leg]:
        known = self._legs.legs
        unknown = [name for name in names or () if name not in known]
        if unknown:
            raise BadInput(f"unknown legs {unknown}: this collection has {list(known)}")
        if names is not None and not names:
            raise BadInput(f"legs is empty: name some of {list(known)}, or pass None for all")
        legs = _of_mode(mode, [known[name] for name in dict.fromkeys(names or known)])
        lexical = any(leg.name in self._legs.lexical and not leg.robust for leg in legs)
        if not lexical and any(map(has_rules, queries)):
            raise BadInput(
                f"the query has recall rules, and none of the legs {[leg.name for leg in legs]} is BM25"
            )
        # A leg with weight zero cannot change the ranking, so it is not run.
        return [leg for leg in legs if leg.weight != 0] or legs

    def _outcomes(self, queries: Sequence[str | Query], asking: _Asking) -> list[Outcome]:
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
            self._fuser.fuse(legs, weights[n], outcome, asking.depth)
        return outcomes

    def _search(
        self,
        outcome: Outcome,
        legs: Sequence[Leg],
        queries: Sequence[str | Query],
        vectors: dict[str, Sequence[FloatArray] | Sequence[SparseVector]],
        n: int,
        asking: _Asking,
    ) -> None:
        """Run those legs that have not run for query `n`; a leg's vectors are made of all queries at once."""
        if missing := [leg for leg in legs if self._legs.by_vector(leg) and leg.name not in vectors]:
            with outcome.timed("encode"):
                vectors.update(self._legs.encode(queries, missing))
        for leg in legs:
            if leg.name not in outcome.rankings:
                vector = vectors[leg.name][n] if leg.name in vectors else None
                with outcome.timed(leg.name):
                    found = self._legs.rank(
                        leg, outcome.query, vector, asking.depth, asking.filter, asking.exact
                    )
                outcome.rankings[leg.name] = found.ranking
                outcome.notices += found.notices
                if found.shortlist:
                    outcome.shortlists[leg.name] = found.shortlist


@dataclass(frozen=True, slots=True)
class _Asking:
    """What all queries of one search have in common."""

    legs: Sequence[Leg]
    named: bool
    depth: int
    filter: Filter | None
    exact: bool


def _running(legs: Sequence[Leg], weights: Mapping[str, LegWeight]) -> Sequence[Leg]:
    return [leg for leg in legs if weights[leg.name].value > 0] or legs


def _of_mode(mode: Mode, legs: Sequence[Leg]) -> list[Leg]:
    """Those of the legs that the mode runs. Raises `BadInput` where it asks for one that is not there."""
    if mode not in get_args(Mode):
        raise BadInput(f"mode {mode!r}: expected one of {list(get_args(Mode))}")
    kept = [leg for leg in legs if mode != "text" or leg.reads == "text"]
    if not kept or (mode == "dual" and all(leg.reads == "text" for leg in kept)):
        reads = {leg.name: leg.reads for leg in legs}
        wanted = "a leg that reads images" if mode == "dual" else "a leg that reads text"
        raise BadInput(f"mode {mode!r} needs {wanted}, and the legs read {reads}")
    return kept
