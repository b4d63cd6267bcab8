"""The retriever: legs -> fusion -> rerank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from types import MappingProxyType
from typing import TypeAlias, cast, get_args

from rag_plugins.config import FusionConfig, Mode
from rag_plugins.errors import BadInput
from rag_plugins.filters import Filter
from rag_plugins.fusion import Fused
from rag_plugins.legs.given import Given, given_vectors
from rag_plugins.legs.search import LegSearch, QueryVectors
from rag_plugins.lexical.rules import Query, has_rules, words
from rag_plugins.models.protocols import Leg
from rag_plugins.search.cascade import Cascade
from rag_plugins.search.diversity import spread
from rag_plugins.search.explain import Explainer
from rag_plugins.search.fuser import Fuser
from rag_plugins.search.outcome import Outcome
from rag_plugins.search.queries import asked, joined, weighed
from rag_plugins.search.reranking import RerankStage
from rag_plugins.search.watching import watched
from rag_plugins.search.weights import LegWeight
from rag_plugins.store.milvus import MilvusStore
from rag_plugins.store.schema import MAX_HITS
from rag_plugins.types import Hit, Hits
from rag_plugins.vectors import FloatArray, SparseVector

__all__ = ["HybridRetriever", "LegChoice"]

LegChoice: TypeAlias = Sequence[str] | Mapping[str, float]
"""Legs by name; a mapping has their weights too, which are those of min-max scores."""

_NONE: Given = MappingProxyType({})


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
        legs: LegChoice | None = None,
        mode: Mode | None = None,
        vectors: Given = _NONE,
        group_by: str | None = None,
        explain: bool = False,
    ) -> Hits:
        """The best k passages; a blank query finds nothing without vectors. Raises `BadInput`."""
        return self.search_many(
            [query],
            k,
            filter=filter,
            legs=legs,
            mode=mode,
            vectors=vectors,
            group_by=group_by,
            explain=explain,
        )

    def search_many(
        self,
        queries: Sequence[str | Query],
        k: int = 5,
        *,
        weights: Sequence[float] | None = None,
        filter: Filter | None = None,
        legs: LegChoice | None = None,
        mode: Mode | None = None,
        vectors: Given = _NONE,
        group_by: str | None = None,
        explain: bool = False,
    ) -> Hits:
        """The best k passages for several queries, reranked for the first that is not blank.

        `vectors` by leg are the first query's, and not made anew; `group_by` names what only one hit has.
        """
        with watched(self._store.collection, k, mode or self._mode) as told:
            outcome = self._run(
                queries,
                k,
                weights=weights,
                filter=filter,
                legs=legs,
                mode=mode,
                vectors=vectors,
                group_by=group_by,
            )
            return told(outcome, self._hits(outcome, outcome.final[:k], explain))

    def diverse(
        self,
        query: str | Query,
        k: int,
        fetch_k: int,
        balance: float,
        *,
        filter: Filter | None = None,
        legs: LegChoice | None = None,
        mode: Mode | None = None,
        vectors: Given = _NONE,
    ) -> Hits:
        """Of the best `fetch_k`, k that are relevant and unlike each other: see `spread`."""
        with watched(self._store.collection, k, mode or self._mode) as told:
            wanted = max(k, fetch_k)
            outcome = self._run([query], wanted, filter=filter, legs=legs, mode=mode, vectors=vectors)
            best = outcome.final[:wanted]
            with outcome.timed("diversity"):
                alike = self._legs.alike([id for id, _ in best])
                chosen = [best[n] for n in spread([score for _, score in best], alike, k, balance)]
            return told(outcome, self._hits(outcome, chosen))

    def _hits(self, outcome: Outcome, best: Sequence[tuple[str, float]], explain: bool = False) -> Hits:
        ids = [id for id, _ in best]
        with outcome.timed("fetch"):
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
        legs: LegChoice | None = None,
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
        legs: LegChoice | None = None,
        mode: Mode | None = None,
        vectors: Given = _NONE,
        group_by: str | None = None,
        depth: int | None = None,
        exact: bool = False,
    ) -> Outcome:
        given = asked(queries)
        own = {leg: of_leg[leg] for leg in vectors if (of_leg := self._given(leg, vectors))}
        wordless = bool(own) and not words(given[0])
        chosen = self._chosen(list(own) if wordless and legs is None else legs, mode or self._mode, given)
        if not 1 <= k <= MAX_HITS:
            raise BadInput(f"k is {k}: expected 1 to {MAX_HITS}")
        depth = depth or self._fusion.depth or min(max(4 * k, 100), MAX_HITS)
        weight = weighed(given, weights, wordless)
        asking = _Asking(chosen, legs is not None or wordless, depth, filter, exact, own)
        outcome = joined(self._outcomes(list(weight), asking), weight.values(), self._fusion)
        if group_by is not None:
            outcome.fused = self._best_of_each(group_by, outcome.fused)
        if read := [text for query in given if (text := words(query))]:
            self._cascade.run(read[0], k, outcome)
        return outcome

    def _best_of_each(self, key: str, fused: Sequence[Fused]) -> list[Fused]:
        """The first of each value of a key; what has no such key stands for itself."""
        values = self._store.values([item.id for item in fused], key)
        first = {values.get(item.id, ("", item.id)): item for item in reversed(fused)}
        kept = {item.id for item in first.values()}
        return [item for item in fused if item.id in kept]

    def _given(self, leg: str, vectors: Given) -> dict[str, FloatArray]:
        return given_vectors(self._legs.legs, leg, {leg: vectors[leg]})

    def _chosen(self, given: LegChoice | None, mode: Mode, queries: Sequence[str | Query]) -> list[Leg]:
        known = self._legs.legs
        unknown = [name for name in given or () if name not in known]
        if unknown:
            raise BadInput(f"unknown legs {unknown}: this collection has {list(known)}")
        if given is not None and not given:
            raise BadInput(f"legs is empty: name some of {list(known)}, or pass None for all")
        legs = _of_mode(mode, [known[name] for name in dict.fromkeys(given or known)])
        if isinstance(given, Mapping):
            legs = [replace(leg, weight=_weight(leg.name, given)) for leg in legs]
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
                vectors.update(self._encoded(queries, missing, asking.vectors))
        for leg in legs:
            if leg.name not in outcome.rankings:
                vector = vectors[leg.name][n] if leg.name in vectors else None
                with outcome.timed(leg.name, "leg", {"rag_plugins.leg": leg.name}) as current:
                    found = self._legs.rank(
                        leg, outcome.query, vector, asking.depth, asking.filter, asking.exact
                    )
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


@dataclass(frozen=True, slots=True)
class _Asking:
    """What all queries of one search have in common."""

    legs: Sequence[Leg]
    named: bool
    depth: int
    filter: Filter | None
    exact: bool
    vectors: Mapping[str, FloatArray]


def _weight(leg: str, weights: Mapping[str, float]) -> float:
    if not 0.0 <= weights[leg] < inf:
        raise BadInput(f"weight {weights[leg]} of leg {leg}: expected a number of at least 0")
    return weights[leg]


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
