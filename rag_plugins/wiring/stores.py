"""The store of a collection, and what searches its BM25 legs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rag_plugins.config import (
    Bm25Leg,
    Config,
    LegConfig,
    PageTokensLeg,
    RobustLeg,
    VectorLeg,
)
from rag_plugins.ingest.prefixes import server_widths
from rag_plugins.legs.passes import TokenPass
from rag_plugins.lexical.plan import TermIndex
from rag_plugins.lexical.remote import MilvusTerms
from rag_plugins.lexical.resident import ResidentTerms
from rag_plugins.lexical.search import LexicalSearch
from rag_plugins.models.bm25 import Bm25Encoder
from rag_plugins.models.protocols import Leg, Representation
from rag_plugins.store.address import Address
from rag_plugins.store.local.resident import ResidentStore
from rag_plugins.store.milvus import MilvusStore
from rag_plugins.store.schema import VectorField
from rag_plugins.wiring.legs import dense_model
from rag_plugins.wiring.rerankers import kept_tokens

__all__ = ["make_passes", "make_searches", "make_store"]


def make_store(
    uri: str | Path, config: Config, legs: Sequence[Leg], collection: str, tenant: str
) -> MilvusStore:
    """The collection that these legs read and write; see `MilvusStore.open`."""
    kind = ResidentStore if Address.of(uri).path else MilvusStore
    return kind.open(
        uri,
        fields=[
            field
            for leg, settings in zip(legs, config.legs, strict=True)
            for field in (_field(leg), *_prefix_fields(leg, settings))
        ],
        fingerprint={leg.name: dict(leg.encoder.fingerprint) for leg in legs},
        collection=collection,
        tenant=tenant,
        config=config.store,
        keep_tokens=tuple(kept_tokens(config, legs)),
    )


def _field(leg: Leg) -> VectorField:
    if leg.representation is Representation.DENSE:
        return VectorField(leg.name, "dense", dense_model(leg).dim)
    # Term indexes search for BM25 legs, so that their stored weights need no place in memory.
    return VectorField(leg.name, "sparse", resident=not isinstance(leg.encoder, Bm25Encoder))


def _prefix_fields(leg: Leg, settings: LegConfig) -> list[VectorField]:
    """On a server the funnel's stages are fields, whose widths are settled when the collection is made."""
    if not isinstance(settings, VectorLeg):
        return []
    model = dense_model(leg)
    widths = server_widths(settings.funnel, model.dim, model.matryoshka)
    return [VectorField(f"{leg.name}_{width}", "dense", width, prefix_of=leg.name) for width in widths]


def make_searches(config: Config, legs: Sequence[Leg], store: MilvusStore) -> dict[str, LexicalSearch]:
    """For each BM25 or robust leg what searches it: memory over a file, the engine on a server."""
    searches: dict[str, LexicalSearch] = {}
    for leg, settings in zip(legs, config.legs, strict=True):
        if isinstance(leg.encoder, Bm25Encoder) and isinstance(settings, Bm25Leg | RobustLeg):
            searches[leg.name] = LexicalSearch(leg.encoder, settings, _terms(store, leg.name, leg.encoder))
    return searches


def make_passes(config: Config, legs: Sequence[Leg], store: MilvusStore) -> dict[str, TokenPass]:
    """For each leg of page tokens what searches it: by one vector a page, then by all of its tokens."""
    return {
        leg.name: TokenPass(store, leg.name, leg.encoder, settings.shortlist)
        for leg, settings in zip(legs, config.legs, strict=True)
        if isinstance(settings, PageTokensLeg)
    }


def _terms(store: MilvusStore, leg: str, encoder: Bm25Encoder) -> TermIndex:
    if isinstance(store, ResidentStore):
        return ResidentTerms(store, leg, encoder)
    return MilvusTerms(store, leg, encoder)
