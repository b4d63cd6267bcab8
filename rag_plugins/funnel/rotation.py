"""An orthonormal rotation that gives any embedding usable prefixes."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag_plugins.errors import BadInput, StoreError
from rag_plugins.types import JsonValue
from rag_plugins.vectors import Matrix

__all__ = ["SAMPLE", "Rotation"]

SAMPLE = 20_000
"""Rows that a rotation is fitted on at most; 2000 of other documents do almost as well (MiniLM, SQuAD)."""

_BLOCK = 2048
_UNIT = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Rotation:
    """The leading columns of an orthonormal matrix, shape (dim, width), by falling energy.

    All `dim` of them together keep every inner product; a prefix needs no more of them than it is wide.
    """

    columns: Matrix

    @classmethod
    def fit(cls, vectors: Matrix, width: int | None = None) -> Rotation:
        """Uncentred PCA of rows (n, dim): the eigenvectors of vectors.T @ vectors; `width` of them, or all.

        Centring would change inner products. Of very many rows, some from all over are read. Raises
        `BadInput` without rows or with a width beyond dim.
        """
        count, dim = vectors.shape
        wide = dim if width is None else width
        if not count or not 1 <= wide <= dim:
            raise BadInput(f"a rotation of {count} vectors to width {wide}: expected some, and 1 to {dim}")
        _, eigenvectors = np.linalg.eigh(_gram(vectors))
        leading = eigenvectors[:, ::-1][:, :wide]
        # The sign of an eigenvector is the library's whim: its largest part is made positive.
        signs = np.sign(leading[np.abs(leading).argmax(axis=0), np.arange(wide)])
        return cls(np.ascontiguousarray(leading * signs, np.float32))

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        return self.columns.shape[0]

    @property
    def width(self) -> int:
        """The widest prefix it gives."""
        return self.columns.shape[1]

    def __call__(self, vectors: Matrix, width: int | None = None) -> Matrix:
        """The first `width` numbers of rotated vectors, (n, dim) or (dim,); not scaled."""
        return vectors @ (self.columns if width is None else self.columns[:, :width])

    def to_json(self) -> JsonValue:
        """As it is stored with a collection."""
        return {
            "shape": [self.dim, self.width],
            "float32": base64.b64encode(self.columns.astype("<f4").tobytes()).decode(),
        }

    @classmethod
    def from_json(cls, value: JsonValue) -> Rotation:
        """Raises `StoreError` where it is damaged."""
        try:
            assert isinstance(value, dict)  # noqa: S101
            numbers = np.frombuffer(base64.b64decode(str(value["float32"]), validate=True), "<f4")
            columns = numbers.reshape(value["shape"])  # pyright: ignore[reportArgumentType, reportCallIssue]
            dim, width = columns.shape
            # Written so that NaN fails.
            if not (width <= dim and np.all(np.abs(np.linalg.norm(columns, axis=0) - 1.0) < _UNIT)):
                raise ValueError("its columns are no unit vectors")
            return cls(columns.astype(np.float32))
        except (AssertionError, KeyError, TypeError, ValueError) as error:
            raise StoreError(
                f"a stored rotation is damaged ({error}): run `rag-plugins tune` again"
            ) from error


def _gram(vectors: Matrix) -> NDArray[np.float64]:
    """vectors.T @ vectors in double precision, of rows spread evenly; never all rows twice in memory."""
    rows = np.linspace(0, len(vectors) - 1, min(len(vectors), SAMPLE)).astype(np.intp)
    total = np.zeros((vectors.shape[1], vectors.shape[1]))
    for start in range(0, len(rows), _BLOCK):
        block = vectors[rows[start : start + _BLOCK]].astype(np.float64)
        total += block.T @ block
    return total
