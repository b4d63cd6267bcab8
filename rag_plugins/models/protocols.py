"""What the rest of the package expects of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from rag_plugins.types import JsonValue, View
from rag_plugins.vectors import FloatArray, Matrix, SparseVector

__all__ = ["DENSE", "Candidate", "Encoder", "Encoding", "Leg", "Representation", "Reranker"]


class Representation(Enum):
    """What one forward pass can give: a vector, weighted terms, a vector for each token."""

    DENSE = "dense"
    SPARSE = "sparse"
    TOKENS = "tokens"


DENSE = frozenset({Representation.DENSE})
"""The usual wish: one vector a text."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """Representations of n texts from one pass; None for those not asked for.

    dense: (n, dim), unit rows. sparse: n vectors. tokens: n matrices (tokens, dim), unit rows.
    """

    dense: Matrix | None = None
    sparse: tuple[SparseVector, ...] | None = None
    tokens: tuple[Matrix, ...] | None = None


class Encoder(Protocol):
    """Queries and document views to vectors, in one pass for all representations wanted."""

    @property
    def produces(self) -> frozenset[Representation]:
        """What it can give; wanting anything else raises `BadInput`."""
        ...

    @property
    def fingerprint(self) -> Mapping[str, JsonValue]:
        """What its vectors depend on (model, prompts, analysis …): equal fingerprints, equal vectors."""
        ...

    def encode_queries(self, queries: Sequence[str], want: frozenset[Representation] = ...) -> Encoding:
        """Vectors of queries; a `View` among them raises `SideError`."""
        ...

    def encode_documents(self, views: Sequence[View], want: frozenset[Representation] = ...) -> Encoding:
        """Vectors of document views; a plain `str` among them raises `SideError`."""
        ...


@dataclass(frozen=True, slots=True)
class Leg:
    """A named, weighted way to find passages: one representation of one encoder, one field of the store."""

    name: str
    encoder: Encoder
    representation: Representation
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a reranker may read of a passage: its views, and its token vectors as `pack_tokens` made them."""

    views: tuple[View, ...]
    tokens: bytes | None = None


class Reranker(Protocol):
    """Query and candidates, read together, to scores."""

    @property
    def name(self) -> str:
        """How traces call it."""
        ...

    @property
    def reads_tokens(self) -> bool:
        """Whether it profits from `Candidate.tokens`."""
        ...

    def score(self, query: str, candidates: Sequence[Candidate]) -> FloatArray:
        """Shape (n,), higher is better, the model's own scale."""
        ...
