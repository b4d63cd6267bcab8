"""The rerankers of a configuration, and the token vectors that they read."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import cast

from rag_plugins.config import (
    Config,
    CrossEncoderConfig,
    PageTokensLeg,
    RerankerConfig,
)
from rag_plugins.errors import ConfigError
from rag_plugins.ingest.rows import Pack
from rag_plugins.models.bm25 import Bm25Encoder
from rag_plugins.models.protocols import Leg, Representation, Reranker, TokenModel
from rag_plugins.models.rerank.cross_encoder import CrossEncoderReranker
from rag_plugins.models.rerank.late_interaction import LateInteractionReranker
from rag_plugins.models.tokens import pack_tokens

__all__ = ["kept_tokens", "make_reranker", "token_leg"]


def kept_tokens(config: Config, legs: Sequence[Leg]) -> dict[str, Pack]:
    """The legs whose token vectors rows keep, and how they are packed. Raises `ConfigError`.

    Those of pages, and those of the texts where late interaction reads them.
    """
    late = any(stage.kind == "late-interaction" for stage in config.rerank)
    texts: dict[str, Pack] = {token_leg(legs).name: pack_tokens} if late else {}
    pages = [leg for leg in config.legs if isinstance(leg, PageTokensLeg)]
    return texts | {leg.name: partial(pack_tokens, precision=leg.keep) for leg in pages}


def token_leg(legs: Sequence[Leg]) -> Leg:
    """The leg whose model gives the token vectors of texts. Raises `ConfigError` where none does."""
    for leg in legs:
        dense = leg.representation is Representation.DENSE and leg.reads == "text"
        if dense and Representation.TOKENS in leg.encoder.produces:
            return leg
    raise ConfigError(
        "late interaction reads token vectors, which no dense leg's model gives (an embedding object of "
        "another library has none): choose a cross-encoder, or rerank = []"
    )


def make_reranker(settings: RerankerConfig, config: Config, legs: Sequence[Leg]) -> Reranker:
    """The reranker of a stage, with the collection's idf where it can use it."""
    if isinstance(settings, CrossEncoderConfig):
        return CrossEncoderReranker(settings, config.compute)
    counted = (leg.encoder for leg in legs if isinstance(leg.encoder, Bm25Encoder) and not leg.robust)
    lexical = next(counted, None)
    return LateInteractionReranker(cast("TokenModel", token_leg(legs).encoder), lexical)
