"""The rerankers of a configuration, and the token vectors that they read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from rag_plugins.config import (
    Config,
    CrossEncoderConfig,
    RerankerConfig,
)
from rag_plugins.errors import ConfigError
from rag_plugins.models.bm25 import Bm25Encoder
from rag_plugins.models.protocols import Leg, Representation, Reranker, TokenModel
from rag_plugins.models.rerank.cross_encoder import CrossEncoderReranker
from rag_plugins.models.rerank.late_interaction import LateInteractionReranker

__all__ = ["kept_tokens", "make_reranker"]


def kept_tokens(config: Config, legs: Sequence[Leg]) -> TokenModel | None:
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
