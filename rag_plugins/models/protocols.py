"""What the rest of the package expects of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal, Protocol, TypeAlias, runtime_checkable

from rag_plugins.models.shipped import ShippedRotation
from rag_plugins.types import JsonValue, View
from rag_plugins.vectors import FloatArray, Matrix, SparseVector

__all__ = [
    "DENSE",
    "SPARSE",
    "Candidate",
    "DenseModel",
    "Encoder",
    "Encoding",
    "ImageEncoder",
    "Leg",
    "QueryEncoder",
    "Read",
    "Representation",
    "Reranker",
    "RotatedModel",
    "Scale",
    "Scores",
    "SparseModel",
    "TokenModel",
]


class Representation(Enum):
    """What one forward pass can give: a vector, weighted terms, a vector for each token."""

    DENSE = "dense"
    SPARSE = "sparse"
    TOKENS = "tokens"


DENSE = frozenset({Representation.DENSE})
"""The usual wish: one vector a text."""

SPARSE = frozenset({Representation.SPARSE})
"""Weighted terms alone."""

Span: TypeAlias = tuple[int, int]
"""Start and end in a text, in characters."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """Representations of n texts from one pass; None for those not asked for.

    dense: (n, dim), unit rows. sparse: n vectors. tokens: n matrices (tokens, dim), unit rows.
    """

    dense: Matrix | None = None
    sparse: tuple[SparseVector, ...] | None = None
    tokens: tuple[Matrix, ...] | None = None


class QueryEncoder(Protocol):
    """Queries to vectors, in one pass for all representations wanted."""

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


class Encoder(QueryEncoder, Protocol):
    """Queries and the texts of passages to vectors."""

    def encode_documents(self, views: Sequence[View], want: frozenset[Representation] = ...) -> Encoding:
        """Vectors of document views; a plain `str` among them raises `SideError`."""
        ...


class ImageEncoder(QueryEncoder, Protocol):
    """Queries and images to vectors of one space.

    One that gives TOKENS too (a late-interaction model) gives as DENSE what its first pass searches: a vector
    of a fixed size that stands for all token vectors, made differently of a query and of an image.
    """

    @property
    def dim(self) -> int:
        """Numbers in a dense vector."""
        ...

    @property
    def matryoshka(self) -> tuple[int, ...]:
        """Prefix widths that it was trained for, () where none is declared."""
        ...

    def encode_images(self, images: Sequence[bytes], want: frozenset[Representation] = ...) -> Encoding:
        """Vectors of encoded images (PNG, JPEG, WEBP, TIFF, GIF); `BadInput` for one that does not decode."""
        ...


class DenseModel(Encoder, Protocol):
    """An encoder that gives one vector a text."""

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        ...

    @property
    def matryoshka(self) -> tuple[int, ...]:
        """Prefix widths that it was trained for, () where none is declared."""
        ...


@runtime_checkable
class RotatedModel(DenseModel, Protocol):
    """A dense model that may bring a rotation along, for prefixes before one is fitted on passages."""

    @property
    def rotation(self) -> ShippedRotation | None:
        """None where it has none."""
        ...


@runtime_checkable
class TokenModel(Encoder, Protocol):
    """An encoder whose token vectors late interaction can read."""

    def query_spans(self, query: str) -> tuple[list[Span], list[Span]]:
        """Where in the query the tokens with a vector in `encode_queries` are, and those it cannot read."""
        ...

    def unread(self, query: str) -> float:
        """The share of the query's tokens that it cannot read, 0 to 1."""
        ...

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        """How many token vectors texts would have, were they read as a whole, however long."""
        ...


class SparseModel(Encoder, Protocol):
    """An encoder whose sparse dimensions are terms that have names."""

    def terms(self, dimensions: Sequence[int]) -> list[str]:
        """The terms of dimensions, as strings."""
        ...

    def literal(self, text: str) -> frozenset[int]:
        """The dimensions of the terms that stand in a text literally, whatever the model makes of them."""
        ...


@dataclass(frozen=True, slots=True)
class Leg:
    """A named way to find passages: one representation of one encoder, one field of the store.

    `weight` is the user's own, None where the collection is to say. `reads` says which views it embeds; a
    passage without such a view has no vector here and is not found. `robust` to errors of recognition: a
    passage that was read badly is weighed by such legs. `depth`: the hits it gives, None for as many as all.
    """

    name: str
    encoder: Encoder | ImageEncoder
    representation: Representation
    weight: float | None = None
    reads: Literal["text", "image"] = "text"
    robust: bool = False
    depth: int | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a reranker may read of a passage.

    Its views, its token vectors as `pack_tokens` made them, the encoded image that a view names.
    """

    views: tuple[View, ...]
    tokens: bytes | None = None
    image: bytes | None = None


@dataclass(frozen=True, slots=True)
class Read:
    """How much of a passage was read: `tokens` of its `total`, in how many windows."""

    tokens: int
    total: int
    windows: int = 1


@dataclass(frozen=True, slots=True)
class Scores:
    """What a reranker makes of n candidates: `values`, shape (n,), higher is better, on its own scale.

    `read` has the positions of passages that were not read as a whole at once. A score that was not finite
    is the lowest of the others; `notices` say how many were.
    """

    values: FloatArray
    read: Mapping[int, Read] = field(default_factory=dict[int, Read])
    notices: tuple[str, ...] = ()


Scale: TypeAlias = Literal["logit", "probability", "similarity"]
"""What scores are: any number, 0 to 1, at most about 1."""


class Reranker(Protocol):
    """Query and candidates, read together, to scores."""

    @property
    def name(self) -> str:
        """How traces call it."""
        ...

    @property
    def scale(self) -> Scale:
        """What its scores are; may load the model."""
        ...

    @property
    def reads_tokens(self) -> bool:
        """Whether it profits from `Candidate.tokens`."""
        ...

    @property
    def reads_images(self) -> bool:
        """Whether it reads `Candidate.image`."""
        ...

    def score(self, query: str, candidates: Sequence[Candidate]) -> Scores:
        """Raises `QueryTooLong` where the query leaves no room for a passage: it is never cut."""
        ...
