"""The retriever: legs -> fusion -> rerank."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import get_args

from rag_plugins.config import FusionConfig, Mode
from rag_plugins.errors import BadInput
from rag_plugins.filters import Filter
from rag_plugins.lexical.rules import Query
from rag_plugins.lexical.search import LexicalSearch
from rag_plugins.models.protocols import Encoding, Leg, Representation
from rag_plugins.search.cascade import Cascade
from rag_plugins.search.explain import Explainer
from rag_plugins.search.fusion import fuse, shares, shifted
from rag_plugins.search.outcome import Outcome
from rag_plugins.search.passes import TokenPass
from rag_plugins.search.queries import asked, has_rules, joined, weighed, words
from rag_plugins.search.reranking import RerankStage
from rag_plugins.store.milvus import MilvusStore
from rag_plugins.store.schema import MAX_HITS
from rag_plugins.types import Hit, Hits
from rag_plugins.vectors import FloatArray, SparseVector

__all__ = ["HybridRetriever"]

_NO_PASSES: Mapping[str, TokenPass] = MappingProxyType({})


class HybridRetriever:
    """Any number of legs over one store, fused into one ranking, its head reranked."""

    def __init__(
        self,
        store: MilvusStore,
        legs: Sequence[Leg],
        fusion: FusionConfig,
        lexical: Mapping[str, LexicalSearch],
        rerank: Sequence[RerankStage] = (),
        passes: Mapping[str, TokenPass] = _NO_PASSES,
        mode: Mode = "auto",
    ) -> None:
        """`lexical` and `passes` search the legs they name in place of the store."""
        self._store = store
        self._lexical = lexical
        self._passes = passes
        self._mode: Mode = mode
        self._legs = {leg.name: leg for leg in legs}
        self._fusion = fusion
        self._cascade = Cascade(store, rerank)
        self._explainer = Explainer(store, legs, lexical)

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
        outcomes = [Outcome(self._fusion.method, query) for query in weight]
        vectors = self._encode(outcomes, chosen)
        for n, outcome in enumerate(outcomes):
            read = {name: of_queries[n] for name, of_queries in vectors.items()}
            self._search_legs(outcome, chosen, read, depth, filter, exact)
            self._fuse(chosen, outcome)
        outcome = joined(outcomes, weight.values(), self._fusion.method, self._fusion.rrf_k)
        if outcomes:
            self._cascade.run(next(read for query in given if (read := words(query))), k, outcome)
        return outcome

    def _chosen(self, names: Sequence[str] | None, mode: Mode, queries: Sequence[str | Query]) -> list[Leg]:
        unknown = [name for name in names or () if name not in self._legs]
        if unknown:
            raise BadInput(f"unknown legs {unknown}: this collection has {list(self._legs)}")
        if names is not None and not names:
            raise BadInput(f"legs is empty: name some of {list(self._legs)}, or pass None for all")
        legs = _of_mode(mode, [self._legs[name] for name in dict.fromkeys(names or self._legs)])
        lexical = any(leg.name in self._lexical and not leg.robust for leg in legs)
        if not lexical and any(map(has_rules, queries)):
            raise BadInput(
                f"the query has recall rules, and none of the legs {[leg.name for leg in legs]} is BM25"
            )
        # A leg with weight zero cannot change the ranking, so it is not run.
        return [leg for leg in legs if leg.weight > 0] or legs

    def _encode(
        self, outcomes: Sequence[Outcome], legs: Sequence[Leg]
    ) -> dict[str, Sequence[FloatArray | SparseVector]]:
        """By leg a vector of each query, for those that search the store; one pass of each encoder."""
        if not outcomes:
            return {}
        texts = [words(outcome.query) for outcome in outcomes]
        encodings: dict[int, Encoding] = {}
        vectors: dict[str, Sequence[FloatArray | SparseVector]] = {}
        for leg in legs:
            if leg.name in self._lexical or leg.name in self._passes:
                continue
            if id(leg.encoder) not in encodings:
                want = frozenset(other.representation for other in legs if other.encoder is leg.encoder)
                with outcomes[0].timed("encode"):
                    encodings[id(leg.encoder)] = leg.encoder.encode_queries(texts, want)
            vectors[leg.name] = _vectors(encodings[id(leg.encoder)], leg.representation)
        return vectors

    def _search_legs(
        self,
        outcome: Outcome,
        legs: Sequence[Leg],
        vectors: Mapping[str, FloatArray | SparseVector],
        depth: int,
        filter: Filter | None,
        exact: bool,
    ) -> None:
        for leg in legs:
            name = leg.name
            with outcome.timed(name):
                if name in self._lexical:
                    outcome.rankings[name], notices = self._lexical[name].search(outcome.query, depth, filter)
                    outcome.notices += notices
                elif name in self._passes:
                    passes = self._passes[name].search(words(outcome.query), depth, filter)
                    outcome.shortlists[name], outcome.rankings[name] = passes
                else:
                    found = self._store.search(name, vectors[name], depth, filter, exact=exact)
                    outcome.rankings[name] = found

    def _fuse(self, legs: Sequence[Leg], outcome: Outcome) -> None:
        with outcome.timed("fusion"):
            outcome.shares = shares({leg.name: leg.weight for leg in legs if outcome.rankings[leg.name]})
            fragile = {leg.name for leg in legs if leg.reads == "text" and not leg.robust}
            outcome.confidences = self._doubted(legs, fragile, outcome)
            outcome.shifted = {
                id: shifted(outcome.shares, fragile, sure) for id, sure in outcome.confidences.items()
            }
            outcome.fused = fuse(
                outcome.rankings,
                outcome.shares,
                self._fusion.method,
                self._fusion.rrf_k,
                outcome.shifted,
            )

    def _doubted(self, legs: Sequence[Leg], fragile: Collection[str], outcome: Outcome) -> dict[str, float]:
        """Confidences below 1 of what was found, where some of the legs are not touched by doubt."""
        if len(fragile) in (0, len(legs)):
            return {}
        ids = dict.fromkeys(id for ranking in outcome.rankings.values() for id, _ in ranking)
        return {id: sure for id, sure in self._store.confidences(list(ids)).items() if sure < 1.0}


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


def _vectors(encoding: Encoding, representation: Representation) -> Sequence[FloatArray | SparseVector]:
    vectors: Mapping[Representation, Sequence[FloatArray] | Sequence[SparseVector] | None] = {
        Representation.DENSE: None if encoding.dense is None else list(encoding.dense),
        Representation.SPARSE: encoding.sparse,
    }
    found = vectors.get(representation)
    if found is None:
        raise BadInput(f"a leg reads one vector a text, dense or sparse; this one asks for {representation}")
    return found
