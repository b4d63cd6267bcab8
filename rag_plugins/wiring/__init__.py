"""From a configuration to parts: legs with their encoders, the store, term indexes, the reranker."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias, cast

from rag_plugins.config import Config, GivenRerankerConfig, RerankerConfig, VectorLeg
from rag_plugins.ingest.checking import check_opened
from rag_plugins.ingest.funnels import FunnelKeeper
from rag_plugins.ingest.manifest import Manifest
from rag_plugins.ingest.rows import RowMaker
from rag_plugins.ingest.weighing import FusionKeeper
from rag_plugins.ingest.writer import Writer
from rag_plugins.legs.search import LegSearch
from rag_plugins.lexical.statistics import StatisticsKeeper
from rag_plugins.models.dense import DenseEncoder
from rag_plugins.models.m3 import M3Encoder
from rag_plugins.models.protocols import Encoder, ImageEncoder, Leg, Reranker
from rag_plugins.models.rerank.cross_encoder import CrossEncoderReranker
from rag_plugins.models.sparse import SparseEncoder
from rag_plugins.models.visual.page_tokens import PageTokensEncoder
from rag_plugins.models.visual.single import ImageModelEncoder
from rag_plugins.search.fuser import Fuser
from rag_plugins.search.reranking import RerankStage
from rag_plugins.search.retriever import HybridRetriever
from rag_plugins.search.weights import fixed
from rag_plugins.store.learned import LearnedRecord
from rag_plugins.store.milvus import MilvusStore
from rag_plugins.wiring.legs import dense_model, make_legs
from rag_plugins.wiring.rerankers import by_name, kept_tokens, make_reranker, token_leg, with_given
from rag_plugins.wiring.stores import make_passes, make_searches, make_store

__all__ = [
    "Model",
    "Parts",
    "assemble",
    "dense_model",
    "make_legs",
    "make_reranker",
    "make_searches",
    "make_store",
    "wire",
    "with_given",
]

Model: TypeAlias = (
    DenseEncoder | SparseEncoder | M3Encoder | ImageModelEncoder | PageTokensEncoder | CrossEncoderReranker
)
"""What holds weights in memory until it is released."""


_NONE: Mapping[str, Reranker] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Parts:
    """What works on one collection."""

    store: MilvusStore
    legs: Sequence[Leg]
    search: LegSearch
    stages: Sequence[RerankStage]
    retriever: HybridRetriever
    writer: Writer
    funnels: Sequence[FunnelKeeper]
    fusion: FusionKeeper
    learned: LearnedRecord
    models: Sequence[Model]
    """To be released with the index: what was made for it, not what it was given."""

    process: int = field(default_factory=os.getpid)

    @property
    def weights(self) -> dict[str, str]:
        """Where the weights of each leg's model come from; see `RagIndex.weights`."""
        made = [leg for leg in self.legs if isinstance(leg.encoder, Model)]
        return {leg.name: cast("Model", leg.encoder).source for leg in made}

    def close(self) -> None:
        """Save what is not yet saved, let go of the file and of the models."""
        if os.getpid() != self.process:
            return  # A forked child must not touch what its parent uses.
        try:
            self.writer.close()
        finally:
            self.store.close()
            for model in self.models:
                model.release()


def assemble(
    uri: str | Path,
    config: Config,
    collection: str,
    tenant: str,
    encoders: Mapping[str, Encoder | ImageEncoder],
    rerankers: Sequence[Reranker] = (),
    *,
    check: bool = True,
) -> Parts:
    """All that works on a collection, opened or created: see `RagIndex.open`; `config` as of `with_given`."""
    legs = make_legs(config.legs, encoders, config.compute)
    store = make_store(uri, config, legs, collection, tenant)
    try:
        if check:
            check_opened(store, Manifest(store.records, tenant), tenant)
        return wire(config, legs, store, tenant, encoders, by_name(rerankers))
    except BaseException:
        store.close()
        raise


def wire(
    config: Config,
    legs: Sequence[Leg],
    store: MilvusStore,
    tenant: str,
    given: Collection[str] = (),
    rerankers: Mapping[str, Reranker] = _NONE,
) -> Parts:
    """Everything above the store; `given` names the legs whose encoder is the caller's own.

    `rerankers`, by name, are the caller's too. Raises `ConfigError` for settings that do not go together.
    """
    searches = make_searches(config, legs, store)
    keepers = [StatisticsKeeper(store, name, search, tenant) for name, search in searches.items()]
    funnels = _funnels(config, legs, store, tenant)
    rows = RowMaker(legs, kept_tokens(config, legs), store.assets)
    searched = LegSearch(store, legs, searches, make_passes(config, legs, store))
    record = LearnedRecord(store.state, tenant)
    fusion = FusionKeeper(store, searched, record)
    weighed = sum(leg.weight is None for leg in legs)
    learns = config.fusion.method == "adaptive" and weighed > 1 and not fixed(legs)
    writer = Writer(store, rows, tenant, keepers, [*funnels, *([fusion] if learns else [])])
    stages = [_stage(settings, config, legs, rerankers) for settings in config.rerank]
    literal = {leg.name for leg in legs if leg.name in searches and not leg.robust}
    fuser = Fuser(store, config.fusion, record, literal)
    retriever = HybridRetriever(store, searched, fuser, config.fusion, stages, config.mode)
    encoders = [leg.encoder for leg in legs if leg.name not in given]
    own = [stage.reranker for stage in stages if not isinstance(stage.settings, GivenRerankerConfig)]
    models = [model for model in (*encoders, *own) if isinstance(model, Model)]
    return Parts(store, legs, searched, stages, retriever, writer, funnels, fusion, record, models)


def _stage(
    settings: RerankerConfig, config: Config, legs: Sequence[Leg], given: Mapping[str, Reranker]
) -> RerankStage:
    # Rows keep token vectors for late interaction alone: another reranker that reads some makes them itself.
    stored = settings.kind == "late-interaction"
    reranker = make_reranker(settings, config, legs, given)
    return RerankStage(settings, reranker, token_leg(legs).name if stored else None)


def _funnels(config: Config, legs: Sequence[Leg], store: MilvusStore, tenant: str) -> list[FunnelKeeper]:
    """What keeps the funnel of each dense leg true. Raises `ConfigError` for what its model cannot have."""
    return [
        FunnelKeeper(store, leg, settings, tenant)
        for leg, settings in zip(legs, config.legs, strict=True)
        if isinstance(settings, VectorLeg)
    ]
