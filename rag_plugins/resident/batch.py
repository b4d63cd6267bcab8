"""What the fields of a collection are in memory, and rows on their way there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from numpy.typing import NDArray

from rag_plugins.funnel import Prefixes
from rag_plugins.resident.dense import DenseIndex
from rag_plugins.resident.sparse import SparseIndex
from rag_plugins.types import JsonValue
from rag_plugins.vectors import Matrix, SparseVector

__all__ = ["Batch", "FieldKind", "Index"]

Index: TypeAlias = DenseIndex | SparseIndex
Document: TypeAlias = tuple[str, Mapping[str, JsonValue]]


@dataclass(frozen=True, slots=True)
class FieldKind:
    """What a field's vectors are: `dim` and precision of dense ones, None for sparse ones."""

    dim: int | None
    precision: Literal["float32", "float16"] = "float32"

    def index(self) -> Index:
        """An empty one."""
        return SparseIndex() if self.dim is None else DenseIndex(self.dim, self.precision)

    def loaded(self, arrays: Mapping[str, NDArray[Any]], prefixes: Prefixes | None) -> Index:
        """Of what its `arrays` gave."""
        if self.dim is None:
            return SparseIndex.of(arrays)
        return DenseIndex.of(arrays, self.dim, self.precision, prefixes)


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Rows by columns: ids, all different; document id and metadata; vectors by field, a matrix or a list.

    `confidences` are NaN, and dense vectors zeros, where a row has none.
    """

    ids: Sequence[str]
    documents: Sequence[Document]
    confidences: Sequence[float]
    vectors: Mapping[str, Matrix | Sequence[SparseVector]]
