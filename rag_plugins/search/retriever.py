"""The retriever: legs -> fusion -> rerank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rag_plugins.config import FusionConfig, Mode
from rag_plugins.fusion import Fused
from rag_plugins.legs.given import given_vectors
from rag_plugins.legs.search import LegSearch
from rag_plugins.lexical.rules import Query, words
from rag_plugins.search.cascade import Cascade
from rag_plugins.search.diversity import spread
from rag_plugins.search.explain import Explainer
from rag_plugins.search.finding import Asking, Finder
from rag_plugins.search.fuser import Fuser
from rag_plugins.search.outcome import Outcome
from rag_plugins.search.queries import asked, joined, weighed
from rag_plugins.search.reranking import RerankStage
from rag_plugins.search.wanted import Wanted, chosen, depth_of
from rag_plugins.search.watching import watched
from rag_plugins.store.milvus import MilvusStore
from rag_plugins.types import Hit, Hits
from rag_plugins.vectors import FloatArray

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
        self._fusion = fusion
        self._mode: Mode = mode
        self._literal = {name for name in legs.lexical if not legs.legs[name].robust}
        self._finder = Finder(legs, fuser, store.turn)
        self._cascade = Cascade(store, rerank)
        self._explainer = Explainer(store, list(legs.legs.values()), legs.lexical)

    def search(self, queries: Sequence[str | Query], wanted: Wanted, *, explain: bool = False) -> Hits:
        """The best passages for a question and its other wordings, reranked for the first that is not blank.

        A blank query finds nothing, but by a vector that is given for it. Raises `BadInput` and `StoreError`.
        """
        with watched(self._store.collection, wanted.k, self._mode_of(wanted)) as told:
            outcome = self.run(queries, wanted)
            return told(outcome, self._hits(outcome, outcome.final[: wanted.k], explain))

    def diverse(self, query: str | Query, wanted: Wanted, fetch_k: int, balance: float) -> Hits:
        """Of the best `fetch_k`, those that are relevant and unlike each other: see `spread`."""
        with watched(self._store.collection, wanted.k, self._mode_of(wanted)) as told:
            many = replace(wanted, k=max(wanted.k, fetch_k))
            outcome = self.run([query], many)
            best = outcome.final[: many.k]
            with outcome.timed("diversity"):
                alike = self._legs.alike([id for id, _ in best])
                places = spread([score for _, score in best], alike, wanted.k, balance)
            return told(outcome, self._hits(outcome, [best[place] for place in places]))

    def run(self, queries: Sequence[str | Query], wanted: Wanted) -> Outcome:
        """Run every stage and keep what each made of the queries."""
        given = asked(queries)
        vectors = self._given(wanted)
        wordless = bool(vectors) and not words(given[0])
        names = list(vectors) if wordless and wanted.legs is None else wanted.legs
        legs = chosen(self._legs.legs, names, self._mode_of(wanted), self._literal, given)
        weight = weighed(given, wanted.weights, wordless)
        depth = depth_of(wanted, self._fusion)
        asking = Asking(legs, names is not None, depth, wanted.filter, wanted.exact, vectors)
        outcome = joined(self._finder.run(list(weight), asking), weight.values(), self._fusion)
        if wanted.group_by is not None:
            outcome.fused = self._best_of_each(wanted.group_by, outcome.fused)
        if read := [text for query in given if (text := words(query))]:
            self._cascade.run(read[0], wanted.k, outcome)
        return outcome

    def _mode_of(self, wanted: Wanted) -> Mode:
        return wanted.mode or self._mode

    def _given(self, wanted: Wanted) -> dict[str, FloatArray]:
        each = {
            leg: given_vectors(self._legs.legs, leg, {leg: wanted.vectors[leg]}) for leg in wanted.vectors
        }
        return {leg: of_leg[leg] for leg, of_leg in each.items()}

    def _best_of_each(self, key: str, fused: Sequence[Fused]) -> list[Fused]:
        """The first of each value of a key; what has no such key stands for itself."""
        values = self._store.values([item.id for item in fused], key)
        first = {values.get(item.id, ("", item.id)): item for item in reversed(fused)}
        kept = {item.id for item in first.values()}
        return [item for item in fused if item.id in kept]

    def _hits(self, outcome: Outcome, best: Sequence[tuple[str, float]], explain: bool = False) -> Hits:
        ids = [id for id, _ in best]
        with self._store.turn:
            with outcome.timed("fetch"):
                passages = self._store.fetch(ids) if ids else {}
            traces = outcome.traces(ids)
        # A passage deleted by someone else since the legs ran is no longer a hit.
        assets = self._store.assets
        hits = [Hit(passages[id], score, traces[id], assets=assets) for id, score in best if id in passages]
        return Hits(self._explainer.explained(hits, outcome) if explain else hits, outcome.notices)
