"""The rerankers of a configuration, and the token vectors that they read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import cast

from rag_plugins.config import (
    Config,
    CrossEncoderConfig,
    GivenRerankerConfig,
    PageTokensLeg,
    RerankerConfig,
)
from rag_plugins.errors import ConfigError
from rag_plugins.ingest.rows import Pack
from rag_plugins.models.bm25 import Bm25Encoder
from rag_plugins.models.protocols import Leg, Representation, Reranker, TokenModel
from rag_plugins.models.rerank.cross_encoder import CrossEncoderReranker
from rag_plugins.models.rerank.late_interaction import LateInteractionReranker
from rag_plugins.models.rerank.matching import shipped_head
from rag_plugins.models.tokens import pack_tokens

__all__ = ["by_name", "kept_tokens", "make_reranker", "token_leg", "with_given"]


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


def by_name(rerankers: Sequence[Reranker]) -> dict[str, Reranker]:
    """The callers' own. Raises `ConfigError` for what is no reranker, and for two of one name."""
    for given in rerankers:
        if not (hasattr(given, "score") and hasattr(given, "name")):
            raise ConfigError(
                f"rerankers: got {type(given).__name__}, expected a list of rerankers: what from_langchain "
                "and from_llama_index make, a CrossEncoderReranker, or another object of that protocol"
            )
    named = {given.name: given for given in rerankers}
    if len(named) < len(rerankers):
        raise ConfigError(f"rerankers need distinct names, got {[given.name for given in rerankers]}")
    return named


def with_given(config: Config, rerankers: Sequence[Reranker]) -> Config:
    """The configuration with its stages by the caller's rerankers.

    Where it has stages of kind "given", these must be of the same names; where it has none, these rerankers
    stand in place of its stages, in their order. Raises `ConfigError`.
    """
    given = by_name(rerankers)
    wanted = {stage.name for stage in config.rerank if isinstance(stage, GivenRerankerConfig)}
    if wanted and wanted != set(given):
        raise ConfigError(
            f"the rerank stages of kind given are {sorted(wanted)}, and the rerankers given {sorted(given)}: "
            "open the index with rerankers=[…] of the same names"
        )
    if wanted or not given:
        return config
    return config.model_copy(update={"rerank": tuple(GivenRerankerConfig(name=name) for name in given)})


def make_reranker(
    settings: RerankerConfig, config: Config, legs: Sequence[Leg], given: Mapping[str, Reranker]
) -> Reranker:
    """The reranker of a stage, with the collection's idf where it can use it."""
    if isinstance(settings, GivenRerankerConfig):
        return given[settings.name]
    if isinstance(settings, CrossEncoderConfig):
        return CrossEncoderReranker(settings, config.compute)
    counted = (leg.encoder for leg in legs if isinstance(leg.encoder, Bm25Encoder) and not leg.robust)
    lexical = next(counted, None)
    encoder = cast("TokenModel", token_leg(legs).encoder)
    head = shipped_head(str(encoder.fingerprint.get("model"))) if settings.head else None
    return LateInteractionReranker(encoder, lexical, head)
