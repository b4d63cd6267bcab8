"""Dense matrices and sparse vectors: the two shapes that every encoder makes and every store keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["FloatArray", "Matrix", "SparseVector", "normalise", "truncate"]

FloatArray: TypeAlias = NDArray[np.float32]
"""Shape (n,), float32."""

Matrix: TypeAlias = NDArray[np.float32]
"""Shape (n, dim), float32, one row a text or a token."""


@dataclass(frozen=True, slots=True, eq=False)
class SparseVector:
    """Non-zero weights by dimension; `indices` ascending and distinct, `values` of the same length."""

    indices: NDArray[np.uint32]
    values: NDArray[np.float32]

    @classmethod
    def of(cls, weights: Mapping[int, float]) -> SparseVector:
        """Build from {dimension: weight}; zero weights are left out."""
        kept = sorted((index, value) for index, value in weights.items() if value != 0.0)
        return cls(
            np.fromiter((index for index, _ in kept), np.uint32, len(kept)),
            np.fromiter((value for _, value in kept), np.float32, len(kept)),
        )

    def __len__(self) -> int:
        return len(self.indices)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, SparseVector)
            and np.array_equal(self.indices, other.indices)
            and np.array_equal(self.values, other.values)
        )

    def as_dict(self) -> dict[int, float]:
        """{dimension: weight}, in Python's own numbers."""
        return dict(zip(self.indices.tolist(), self.values.tolist(), strict=True))

    def strongest(self, most: int | None) -> SparseVector:
        """The `most` largest weights, the lower dimension of equal ones; all of them for None."""
        if most is None or len(self) <= most:
            return self
        kept = np.sort(np.argsort(-self.values, kind="stable")[:most])
        return SparseVector(self.indices[kept], self.values[kept])

    def dot(self, other: SparseVector) -> float:
        """The inner product."""
        _, mine, theirs = np.intersect1d(self.indices, other.indices, assume_unique=True, return_indices=True)
        return float(self.values[mine] @ other.values[theirs])


def normalise(matrix: Matrix) -> Matrix:
    """Scale every row to unit length; a zero row stays zero."""
    norms = np.linalg.norm(matrix, axis=-1, keepdims=True)
    return (matrix / np.where(norms == 0.0, 1.0, norms)).astype(np.float32, copy=False)


def truncate(matrix: Matrix, width: int) -> Matrix:
    """The first `width` columns, rows scaled to unit length again (Matryoshka: arXiv:2205.13147)."""
    if not 1 <= width <= matrix.shape[-1]:
        raise ValueError(f"width {width} is outside 1..{matrix.shape[-1]}")
    return normalise(matrix[..., :width])
