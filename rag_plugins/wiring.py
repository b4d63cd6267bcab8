"""From a configuration to parts: legs with their encoders, the store, term indexes, the reranker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import cast

from rag_plugins.config import (
    Bm25Leg,
    Config,
    CrossEncoderConfig,
    DenseLeg,
    LegConfig,
    RerankerConfig,
    SparseLeg,
)
from rag_plugins.errors import ConfigError
from rag_plugins.ingest.funnels import FunnelKeeper
from rag_plugins.ingest.prefixes import server_widths
from rag_plugins.ingest.writer import Writer
from rag_plugins.lexical.plan import TermIndex
from rag_plugins.lexical.remote import MilvusTerms
from rag_plugins.lexical.resident import ResidentTerms
from rag_plugins.lexical.search import LexicalSearch
from rag_plugins.lexical.statistics import StatisticsKeeper
from rag_plugins.models.bm25 import Bm25Encoder
from rag_plugins.models.dense import DenseEncoder
from rag_plugins.models.m3 import M3Encoder, is_m3
from rag_plugins.models.protocols import DenseModel, Encoder, Leg, Representation, Reranker, TokenModel
from rag_plugins.models.rerank.cross_encoder import CrossEncoderReranker
from rag_plugins.models.rerank.late_interaction import LateInteractionReranker
from rag_plugins.models.sparse import SparseEncoder
from rag_plugins.search.reranking import RerankStage
from rag_plugins.search.retriever import HybridRetriever
from rag_plugins.store.address import Address
from rag_plugins.store.local.resident import ResidentStore
from rag_plugins.store.milvus import MilvusStore
from rag_plugins.store.schema import VectorField

_NONE: Mapping[str, Encoder] = MappingProxyType({})

__all__ = ["Parts", "dense_model", "make_legs", "make_reranker", "make_searches", "make_store", "wire"]


@dataclass(frozen=True, slots=True)
class Parts:
    """What works on one collection."""

    store: MilvusStore
    legs: Sequence[Leg]
    retriever: HybridRetriever
    writer: Writer
    funnels: Sequence[FunnelKeeper]


def wire(config: Config, legs: Sequence[Leg], store: MilvusStore, tenant: str) -> Parts:
    """Everything above the store. Raises `ConfigError` for settings that do not go together."""
    searches = make_searches(config, legs, store)
    keepers = [StatisticsKeeper(store, name, search, tenant) for name, search in searches.items()]
    funnels = _funnels(config, legs, store, tenant)
    writer = Writer(store, legs, tenant, keepers, _kept_tokens(config, legs), funnels)
    stages = [RerankStage(settings, make_reranker(settings, config, legs)) for settings in config.rerank]
    retriever = HybridRetriever(store, legs, config.fusion, searches, stages)
    return Parts(store, legs, retriever, writer, funnels)


def make_legs(configs: Sequence[LegConfig], encoders: Mapping[str, Encoder] = _NONE) -> list[Leg]:
    """A leg for each configuration; the legs of one BGE-M3 share its encoder, and so one forward pass.

    `encoders` by name of a leg are used in place of the leg's model. Raises `ConfigError`.
    """
    _check(encoders, configs)
    own = [config for config in configs if config.name not in encoders]
    shared = {config.model: _m3(config.model, own) for config in own if _is_m3(config)}
    return [_leg(config, encoders.get(config.name), shared) for config in configs]


def _check(encoders: Mapping[str, Encoder], configs: Sequence[LegConfig]) -> None:
    kinds = {config.name: config.kind for config in configs if config.kind != "bm25"}
    for name, encoder in encoders.items():
        if name not in kinds:
            raise ConfigError(f"encoder for the leg {name!r}: the legs with a model are {list(kinds)}")
        if Representation(kinds[name]) not in encoder.produces:
            gives = sorted(kind.value for kind in encoder.produces)
            raise ConfigError(f"leg {name!r} is {kinds[name]}, and the encoder given for it gives {gives}")
    for config in configs:
        if config.name in encoders and isinstance(config, DenseLeg) and config.store_width is not None:
            raise ConfigError(
                f"leg {config.name!r}: store_width cuts the leg's own model, and an encoder is given: let "
                "that one give vectors of this width"
            )


def _leg(config: LegConfig, given: Encoder | None, shared: Mapping[str, M3Encoder]) -> Leg:
    if given is not None:
        return Leg(config.name, given, Representation(config.kind), config.weight)
    match config:
        case DenseLeg():
            encoder = shared.get(config.model) or DenseEncoder(config)
            return Leg(config.name, encoder, Representation.DENSE, config.weight)
        case SparseLeg():
            encoder = shared.get(config.model) or SparseEncoder(config)
            return Leg(config.name, encoder, Representation.SPARSE, config.weight)
        case Bm25Leg():
            return Leg(config.name, Bm25Encoder(config), Representation.SPARSE, config.weight)


def _is_m3(config: LegConfig) -> bool:
    return not isinstance(config, Bm25Leg) and is_m3(config.model)


def _m3(model: str, configs: Sequence[LegConfig]) -> M3Encoder:
    mine = [
        config for config in configs if isinstance(config, DenseLeg | SparseLeg) and config.model == model
    ]
    for name in ("max_length", "device"):
        if len({getattr(config, name) for config in mine}) > 1:
            raise ConfigError(f"the legs of {model} share one forward pass: give them the same {name}")
    dense = [config for config in mine if isinstance(config, DenseLeg)]
    if any(leg.pooling or leg.query_prompt or leg.document_prompt for leg in dense):
        raise ConfigError(f"{model} has pooling of its own and no prompts: leave pooling and prompts out")
    if any(leg.store_width or leg.matryoshka or leg.allow_remote_code for leg in dense):
        raise ConfigError(
            f"{model} was not trained for prefixes and has no code of its own: leave out store_width, "
            "matryoshka and allow_remote_code"
        )
    terms = next((config for config in mine if isinstance(config, SparseLeg)), SparseLeg(model=model))
    return M3Encoder(
        model,
        max_length=mine[0].max_length,
        device=mine[0].device,
        query_terms=terms.query_terms,
        document_terms=terms.document_terms,
    )


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
        keep_tokens=_kept_tokens(config, legs) is not None,
    )


def _field(leg: Leg) -> VectorField:
    if leg.representation is Representation.DENSE:
        return VectorField(leg.name, "dense", dense_model(leg).dim)
    # Term indexes search for BM25 legs, so that their stored weights need no place in memory.
    return VectorField(leg.name, "sparse", resident=not isinstance(leg.encoder, Bm25Encoder))


def _prefix_fields(leg: Leg, settings: LegConfig) -> list[VectorField]:
    """On a server the funnel's stages are fields, whose widths are settled when the collection is made."""
    if not isinstance(settings, DenseLeg):
        return []
    model = dense_model(leg)
    widths = server_widths(settings.funnel, model.dim, model.matryoshka)
    return [VectorField(f"{leg.name}_{width}", "dense", width, prefix_of=leg.name) for width in widths]


def dense_model(leg: Leg) -> DenseModel:
    """The encoder of a dense leg."""
    return cast("DenseModel", leg.encoder)  # What gives one vector a text says how wide it is.


def make_searches(config: Config, legs: Sequence[Leg], store: MilvusStore) -> dict[str, LexicalSearch]:
    """For each BM25 leg what searches it: memory over a file, the engine on a server."""
    searches: dict[str, LexicalSearch] = {}
    for leg, settings in zip(legs, config.legs, strict=True):
        if isinstance(leg.encoder, Bm25Encoder) and isinstance(settings, Bm25Leg):
            searches[leg.name] = LexicalSearch(leg.encoder, settings, _terms(store, leg.name, leg.encoder))
    return searches


def _terms(store: MilvusStore, leg: str, encoder: Bm25Encoder) -> TermIndex:
    if isinstance(store, ResidentStore):
        return ResidentTerms(store, leg, encoder)
    return MilvusTerms(store, leg, encoder)


def _funnels(config: Config, legs: Sequence[Leg], store: MilvusStore, tenant: str) -> list[FunnelKeeper]:
    """What keeps the funnel of each dense leg true. Raises `ConfigError` for what its model cannot have."""
    return [
        FunnelKeeper(store, leg, settings, tenant)
        for leg, settings in zip(legs, config.legs, strict=True)
        if isinstance(settings, DenseLeg)
    ]


def _kept_tokens(config: Config, legs: Sequence[Leg]) -> TokenModel | None:
    """The model whose token vectors rows keep: where late interaction reads them. Raises `ConfigError`."""
    late = any(stage.kind == "late-interaction" for stage in config.rerank)
    return _token_model(legs) if late else None


def _token_model(legs: Sequence[Leg]) -> TokenModel:
    for leg in legs:
        if leg.representation is Representation.DENSE and Representation.TOKENS in leg.encoder.produces:
            return cast("TokenModel", leg.encoder)
    raise ConfigError(
        "late interaction reads token vectors, which no dense leg's model gives (an embedding object of "
        "another library has none): choose a cross-encoder, or rerank = []"
    )


def make_reranker(settings: RerankerConfig, config: Config, legs: Sequence[Leg]) -> Reranker:
    """The reranker of a stage, with the collection's idf where it can use it."""
    if isinstance(settings, CrossEncoderConfig):
        return CrossEncoderReranker(settings, config.compute)
    lexical = next((leg.encoder for leg in legs if isinstance(leg.encoder, Bm25Encoder)), None)
    return LateInteractionReranker(_token_model(legs), lexical)
