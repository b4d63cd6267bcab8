"""Legs by what they are, as both frameworks' stores and retrievers ask for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias, cast

from rag_plugins.config import Config, DenseLeg
from rag_plugins.errors import BadInput, ConfigError
from rag_plugins.index import RagIndex
from rag_plugins.legs.given import Given, given_vectors
from rag_plugins.models.bm25 import Bm25Encoder
from rag_plugins.models.protocols import Encoder, Leg, Representation
from rag_plugins.types import EmbedText
from rag_plugins.vectors import FloatArray, Matrix

__all__ = [
    "LegVectors",
    "balanced",
    "dense_leg",
    "document_vectors",
    "query_vectors",
    "search_vectors",
    "sparse_legs",
    "with_encoder",
    "word_legs",
]

LegVectors: TypeAlias = Mapping[str, FloatArray]
"""A vector of a query by leg."""


def dense_leg(index: RagIndex) -> Leg | None:
    """The first leg that searches texts by dense vectors, None where there is none."""
    return next((leg for leg in index.legs.values() if _dense(leg) and leg.reads == "text"), None)


def word_legs(index: RagIndex) -> list[str]:
    """The legs that match words as they are written: BM25. Raises `BadInput` where there are none."""
    return _some(index, [leg for leg in index.legs.values() if isinstance(leg.encoder, Bm25Encoder)], "BM25")


def sparse_legs(index: RagIndex) -> list[str]:
    """The legs that weigh words: BM25 and learned ones. Raises `BadInput` where there are none."""
    return _some(index, [leg for leg in index.legs.values() if not _dense(leg)], "sparse")


def balanced(index: RagIndex, alpha: float) -> dict[str, float]:
    """Weights of all legs: those of dense ones are `alpha` together, those of sparse ones the rest.

    Raises `BadInput` for what is not from 0 to 1.
    """
    if not 0.0 <= alpha <= 1.0:
        raise BadInput(f"alpha is {alpha}: expected 0, sparse legs alone, to 1, dense legs alone")
    dense = [leg.name for leg in index.legs.values() if _dense(leg)]
    sparse = [name for name in index.legs if name not in dense]
    shares = {name: alpha / len(dense) for name in dense}
    shares |= {name: (1.0 - alpha) / len(sparse) for name in sparse}
    return shares if dense and sparse else dict.fromkeys(shares, 1.0)


def query_vectors(leg: Leg, texts: Sequence[str]) -> Matrix:
    """A unit vector of the leg's model for each query: (n, dim)."""
    return cast("Matrix", leg.encoder.encode_queries(texts, frozenset({leg.representation})).dense)


def document_vectors(leg: Leg, texts: Sequence[str]) -> Matrix:
    """A unit vector of the leg's model for each text: (n, dim)."""
    views = [EmbedText(text) for text in texts]
    encoder = cast("Encoder", leg.encoder)
    return cast("Matrix", encoder.encode_documents(views, frozenset({leg.representation})).dense)


def search_vectors(index: RagIndex, vector: Sequence[float] | FloatArray | None, cure: str) -> LegVectors:
    """A query's vector for the dense leg; {} where there is none, or no such leg to read it.

    Raises `BadInput`, whose message ends with `cure`, for one that the leg's model cannot have made.
    """
    leg = dense_leg(index)
    if leg is None or vector is None:
        return {}
    given: Given = {"the query": vector}
    try:
        return {leg.name: given_vectors(index.legs, leg.name, given)["the query"]}
    except BadInput as error:
        raise BadInput(f"{error}: {cure}") from error


def with_encoder(config: Config, encoder: Encoder) -> tuple[Config, dict[str, Encoder]]:
    """A configuration whose first dense leg has this encoder, and the encoders by leg.

    Without late interaction, which reads token vectors of the leg's own model. Raises `ConfigError`.
    """
    leg = next((leg.name for leg in config.legs if isinstance(leg, DenseLeg)), None)
    if leg is None:
        names = [leg.name for leg in config.legs]
        raise ConfigError(f"an embedding model is given, and no leg is dense: the configuration has {names}")
    stages = tuple(stage for stage in config.rerank if stage.kind != "late-interaction")
    return config.model_copy(update={"rerank": stages}), {leg: encoder}


def _dense(leg: Leg) -> bool:
    return leg.representation is not Representation.SPARSE


def _some(index: RagIndex, legs: Sequence[Leg], kind: str) -> list[str]:
    if not legs:
        raise BadInput(f"no leg is {kind}: this collection has {list(index.legs)}")
    return [leg.name for leg in legs]
