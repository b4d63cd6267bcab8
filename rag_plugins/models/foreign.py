"""Embedding objects of other libraries as encoders. What they give is checked, whatever it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any, Protocol, TypeAlias, cast

import numpy as np

from rag_plugins.errors import BadInput, ConfigError
from rag_plugins.models.presets import DENSE_PRESETS
from rag_plugins.models.protocols import DENSE, Encoding, Representation
from rag_plugins.models.sides import query_texts, view_texts
from rag_plugins.types import JsonValue, View
from rag_plugins.vectors import Matrix, SparseVector, normalise

__all__ = ["ForeignEncoder", "PymilvusFunction", "Side", "from_pymilvus"]

Side: TypeAlias = Callable[[list[Any]], Any]
"""Texts, or paths of images, to vectors, one each.

Numbers in rows, a sparse matrix, or both by name ("dense", "sparse").
"""


_VOYAGE = (256, 512, 1024, 2048)

_HOSTED: Mapping[str, tuple[int, ...]] = {
    "text-embedding-3-large": (256, 1024, 3072),
    "text-embedding-3-small": (512, 1536),
    "gemini-embedding-001": (768, 1536, 3072),
    "gemini-embedding-2": (768, 1536, 3072),
    "jina-clip-v2": (64, 128, 256, 512, 768, 1024),
    "embed-v4.0": (256, 512, 1024, 1536),
    "voyage-3-large": _VOYAGE,
    "voyage-3.5": _VOYAGE,
    "voyage-4": _VOYAGE,
}
"""Widths that their makers publish or recommend, of models that are reached over a network alone."""


class PymilvusFunction(Protocol):
    """An embedding function of `pymilvus.model`."""

    def encode_queries(self, queries: list[str]) -> Any:
        """Vectors of queries."""
        ...

    def encode_documents(self, documents: list[str]) -> Any:
        """Vectors of documents."""
        ...


def from_pymilvus(
    function: PymilvusFunction, *, name: str, dim: int | None = None, matryoshka: Sequence[int] | None = None
) -> ForeignEncoder:
    """An embedding function of `pymilvus.model` as an encoder: for `RagIndex.open(…, encoders={leg: …})`.

    Dense or sparse, or both in one pass (BGE-M3): give the same encoder to both legs then. One text is
    encoded to know which. The rest is as in `ForeignEncoder`.
    """
    return ForeignEncoder(
        name, function.encode_queries, function.encode_documents, None, dim=dim, matryoshka=matryoshka
    )


class ForeignEncoder:
    """What another library's embedding object gives, as unit vectors and weighted dimensions.

    `name` is how collections know the model: what makes other vectors needs another name. `matryoshka`
    defaults to what the model of that name declares. Errors of the object itself pass through.
    Dimensions of sparse vectors have no names here, so that `explain` has nothing to say of them.
    """

    def __init__(
        self,
        name: str,
        queries: Side,
        documents: Side,
        produces: frozenset[Representation] | None = DENSE,
        *,
        dim: int | None = None,
        matryoshka: Sequence[int] | None = None,
        query_prompt: str = "",
        document_prompt: str = "",
    ) -> None:
        """`produces` None, and a `dim` left out, are found by encoding one text. Raises `ConfigError`."""
        if not name.strip():
            raise ConfigError("name is empty: expected the model's, by which collections know its vectors")
        self._name = name
        self._queries, self._documents = queries, documents
        self._given_produces, self._given_dim, self._matryoshka = produces, dim, matryoshka
        self._prompts = {"query_prompt": query_prompt, "document_prompt": document_prompt}

    # Plain properties: to type checkers a cached one is none of what the protocols ask for.
    @property
    def produces(self) -> frozenset[Representation]:
        """DENSE, SPARSE or both."""
        return self._given_produces or frozenset(self._sample)

    @property
    def dim(self) -> int:
        """Numbers in a dense vector. Raises `BadInput` where there are none."""
        return self._dim

    @cached_property
    def _dim(self) -> int:
        if self._given_dim is not None:
            return self._given_dim
        return _matrix(self._name, self._sample.get(Representation.DENSE), 1, "text").shape[1]

    @property
    def matryoshka(self) -> tuple[int, ...]:
        """Prefix widths: as given, else as the model of that name declares. Raises `ConfigError`."""
        given = self._matryoshka
        widths = declared_widths(self._name) if given is None else tuple(sorted(given))
        if given is not None and any(not 1 <= width <= self.dim for width in widths):
            raise ConfigError(f"{self._name}: matryoshka is {widths}, expected widths from 1 to {self.dim}")
        # The object may have been told to give fewer numbers than the model can.
        return tuple(width for width in widths if width <= self.dim)

    @property
    def fingerprint(self) -> Mapping[str, JsonValue]:
        """The name, and what else vectors depend on as far as can be known."""
        dim = {"dim": self.dim} if Representation.DENSE in self.produces else {}
        return {"model": self._name, **dim, **self._prompts}

    def encode_queries(self, queries: Sequence[str], want: frozenset[Representation] = DENSE) -> Encoding:
        """Vectors of queries; a `View` among them is a `SideError`. Raises `BadInput` for unusable ones."""
        texts = [self._prompts["query_prompt"] + text for text in query_texts(queries)]
        return self._encode(self._queries, texts, want)

    def encode_documents(self, views: Sequence[View], want: frozenset[Representation] = DENSE) -> Encoding:
        """Vectors of text views; a `str` is a `SideError`, an image or an unusable vector `BadInput`."""
        texts = [self._prompts["document_prompt"] + text for text in view_texts(views)]
        return self._encode(self._documents, texts, want)

    def _encode(
        self, side: Side, inputs: list[Any], want: frozenset[Representation], kind: str = "text"
    ) -> Encoding:
        """What a side gives for its inputs; `kind` is what messages call one of them."""
        if not want or not want <= self.produces:
            wanted, made = (sorted(each.value for each in kinds) for kinds in (want, self.produces))
            raise BadInput(f"{wanted} are wanted: {self._name} gives {made}")
        given = self._called(side, inputs, kind) if inputs else {}
        return Encoding(
            dense=self._dense(given, len(inputs), kind) if Representation.DENSE in want else None,
            sparse=self._sparse(given, len(inputs)) if Representation.SPARSE in want else None,
        )

    def _dense(self, given: Mapping[Representation, Any], count: int, kind: str) -> Matrix:
        if not count:
            return np.zeros((0, self.dim), np.float32)
        matrix = _matrix(self._name, given.get(Representation.DENSE), count, kind)
        if matrix.shape[1] != self.dim:
            raise BadInput(f"{self._name} gave vectors of {matrix.shape[1]} numbers, expected {self.dim}")
        return matrix

    def _sparse(self, given: Mapping[Representation, Any], count: int) -> tuple[SparseVector, ...]:
        return _weights(self._name, given.get(Representation.SPARSE), count) if count else ()

    def _called(self, side: Side, inputs: list[Any], kind: str) -> dict[Representation, Any]:
        try:
            given = side(inputs)
        except Exception as error:
            error.add_note(f"{self._name} was to embed {len(inputs)} {kind}s")
            raise
        if isinstance(given, Mapping):
            by_name = cast("Mapping[str, Any]", given)
            kinds = (Representation.DENSE, Representation.SPARSE)
            return {kind: by_name[kind.value] for kind in kinds if by_name.get(kind.value) is not None}
        return {Representation.SPARSE if hasattr(given, "tocsr") else Representation.DENSE: given}

    @cached_property
    def _sample(self) -> dict[Representation, Any]:
        return self._called(self._documents, ["text"], "text")


def declared_widths(name: str) -> tuple[int, ...]:
    """Matryoshka widths of the model of this name, hosted or a preset; () where none are known."""
    presets = (preset.matryoshka for preset in DENSE_PRESETS.values() if name in (preset.name, preset.hub_id))
    return _HOSTED.get(name) or next(presets, ())


def _matrix(name: str, given: Any, count: int, kind: str) -> Matrix:
    """Unit rows. Raises `BadInput` unless there are as many as inputs, all numbers, none of them zero."""
    try:
        matrix = np.array([] if given is None else list(given), np.float64)
    except (TypeError, ValueError) as error:
        raise BadInput(f"{name} gave what is no matrix of numbers ({error})") from error
    if matrix.ndim != 2 or len(matrix) != count:
        raise BadInput(f"{name} gave shape {matrix.shape} for {count} {kind}s, expected ({count}, numbers)")
    for fault, rows in (
        ("a number that is not finite", ~np.isfinite(matrix).all(axis=1)),
        ("nothing but zeros", ~matrix.any(axis=1)),
    ):
        if rows.any():
            raise BadInput(f"{name}: the vector of {kind} {rows.argmax() + 1} of {count} has {fault}")
    # Scaled first: numbers near the limits of float64 have a length beyond those of float32.
    return normalise((matrix / np.abs(matrix).max(axis=1, keepdims=True)).astype(np.float32))


def _weights(name: str, given: Any, count: int) -> tuple[SparseVector, ...]:
    """The rows of a scipy matrix. Raises `BadInput` unless as many as texts, with positive finite weights."""
    if given is None or not hasattr(given, "tocsr"):
        raise BadInput(f"{name} gave {type(given).__name__}, expected a scipy sparse matrix")
    matrix = given.tocsr().copy()
    if matrix.ndim != 2 or matrix.shape[0] != count:
        raise BadInput(f"{name} gave shape {matrix.shape} for {count} texts, expected ({count}, dimensions)")
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    values = matrix.data.astype(np.float32)
    if not (np.isfinite(values) & (values > 0.0)).all():
        raise BadInput(f"{name}: a weight is negative or not finite, expected above 0")
    indices = matrix.indices.astype(np.uint32)
    return tuple(
        SparseVector(indices[start:end].copy(), values[start:end].copy())
        for start, end in pairwise(matrix.indptr.tolist())
    )
