"""The retriever: legs -> fusion -> rerank."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import get_args

from rag_plugins.config import FusionConfig, Mode
from rag_plugins.errors import BadInput, SideError
from rag_plugins.filters import Filter
from rag_plugins.lexical.rules import Plain, Query
from rag_plugins.lexical.search import LexicalSearch
from rag_plugins.models.m3 import M3Encoder
from rag_plugins.models.protocols import Encoding, Leg, QueryEncoder, Representation
from rag_plugins.models.sparse import SparseEncoder
from rag_plugins.search.cascade import Cascade
from rag_plugins.search.explain import shared_terms
from rag_plugins.search.fusion import fuse, shares, shifted
from rag_plugins.search.outcome import Outcome
from rag_plugins.search.passes import TokenPass
from rag_plugins.search.reranking import RerankStage
from rag_plugins.store.milvus import MilvusStore
from rag_plugins.store.schema import MAX_HITS
from rag_plugins.text import clean
from rag_plugins.types import Hit, Hits, Passage, TermMatch
from rag_plugins.vectors import FloatArray, SparseVector

__all__ = ["HybridRetriever"]

_NO_TERMS = SparseVector.of({})
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
        outcome = self.run(query, k, filter=filter, legs=legs, mode=mode)
        best = outcome.final[:k]
        ids = [id for id, _ in best]
        passages = self._store.fetch(ids) if ids else {}
        traces = outcome.traces(ids)
        # A passage deleted by someone else since the legs ran is no longer a hit.
        assets = self._store.assets
        hits = [Hit(passages[id], score, traces[id], assets=assets) for id, score in best if id in passages]
        return Hits(self._explained(query, hits) if explain else hits, outcome.notices)

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
        outcome = Outcome(self._fusion.method)
        query = _asked(query)
        chosen = self._chosen(legs, mode or self._mode, query)
        if not 1 <= k <= MAX_HITS:
            raise BadInput(f"k is {k}: expected 1 to {MAX_HITS}")
        depth = depth or self._fusion.depth or min(max(4 * k, 100), MAX_HITS)
        if query:
            self._search_legs(query, chosen, depth, filter, outcome, exact)
            self._fuse(chosen, outcome)
            self._cascade.run(_words(query), k, outcome)
        return outcome

    def _explained(self, query: str | Query, hits: Sequence[Hit]) -> list[Hit]:
        sparse = [leg for leg in self._legs.values() if leg.representation is Representation.SPARSE]
        matches = {leg.name: self._matches(query, [hit.passage for hit in hits], leg) for leg in sparse}
        return [
            replace(hit, terms={name: found[n] for name, found in matches.items()})
            for n, hit in enumerate(hits)
        ]

    def _matches(
        self, query: str | Query, passages: Sequence[Passage], leg: Leg
    ) -> Sequence[tuple[TermMatch, ...]]:
        if leg.name in self._lexical:
            return self._lexical[leg.name].explain(query, [passage.views for passage in passages])
        if not isinstance(leg.encoder, M3Encoder | SparseEncoder):
            return [()] * len(passages)
        stored = self._store.vectors(leg.name, [passage.id for passage in passages])
        return [
            shared_terms(leg.encoder, _words(query), stored.get(passage.id, _NO_TERMS), passage.views)
            for passage in passages
        ]

    def _chosen(self, names: Sequence[str] | None, mode: Mode, query: str | Query) -> list[Leg]:
        unknown = [name for name in names or () if name not in self._legs]
        if unknown:
            raise BadInput(f"unknown legs {unknown}: this collection has {list(self._legs)}")
        if names is not None and not names:
            raise BadInput(f"legs is empty: name some of {list(self._legs)}, or pass None for all")
        legs = _of_mode(mode, [self._legs[name] for name in dict.fromkeys(names or self._legs)])
        if _has_rules(query) and not any(leg.name in self._lexical and not leg.robust for leg in legs):
            raise BadInput(
                f"the query has recall rules, and none of the legs {[leg.name for leg in legs]} is BM25"
            )
        # A leg with weight zero cannot change the ranking, so it is not run.
        return [leg for leg in legs if leg.weight > 0] or legs

    def _search_legs(
        self,
        query: str | Query,
        legs: Sequence[Leg],
        depth: int,
        filter: Filter | None,
        outcome: Outcome,
        exact: bool,
    ) -> None:
        encodings: dict[int, Encoding] = {}
        for leg in legs:
            if leg.name in self._lexical:
                with outcome.timed(leg.name):
                    ranking, notices = self._lexical[leg.name].search(query, depth, filter)
                outcome.rankings[leg.name] = ranking
                outcome.notices += notices
                continue
            if leg.name in self._passes:
                with outcome.timed(leg.name):
                    first, last = self._passes[leg.name].search(_words(query), depth, filter)
                outcome.shortlists[leg.name], outcome.rankings[leg.name] = first, last
                continue
            if id(leg.encoder) not in encodings:
                with outcome.timed("encode"):
                    encodings[id(leg.encoder)] = _encode(_words(query), leg.encoder, legs)
            vector = _vector(encodings[id(leg.encoder)], leg.representation)
            with outcome.timed(leg.name):
                outcome.rankings[leg.name] = self._store.search(leg.name, vector, depth, filter, exact=exact)

    def _fuse(self, legs: Sequence[Leg], outcome: Outcome) -> None:
        with outcome.timed("fusion"):
            outcome.shares = shares({leg.name: leg.weight for leg in legs})
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


def _asked(query: object) -> str | Query:
    if isinstance(query, str):
        return clean(query).strip()
    if not isinstance(query, Query):
        raise SideError(
            f"got {type(query).__name__} as a query, expected str or Query: views are for documents"
        )
    return query


def _has_rules(query: str | Query) -> bool:
    return not isinstance(query, str) and any(not isinstance(rule, Plain) for rule in query.rules)


def _words(query: str | Query) -> str:
    return query if isinstance(query, str) else query.text


def _encode(query: str, encoder: QueryEncoder, legs: Sequence[Leg]) -> Encoding:
    """One pass of the encoder for all the legs that read it."""
    want = frozenset(leg.representation for leg in legs if leg.encoder is encoder)
    return encoder.encode_queries([query], want)


def _vector(encoding: Encoding, representation: Representation) -> FloatArray | SparseVector:
    vectors: Mapping[Representation, Sequence[FloatArray] | Sequence[SparseVector] | None] = {
        Representation.DENSE: None if encoding.dense is None else list(encoding.dense),
        Representation.SPARSE: encoding.sparse,
    }
    found = vectors.get(representation)
    if found is None:
        raise BadInput(f"a leg reads one vector a text, dense or sparse; this one asks for {representation}")
    return found[0]
