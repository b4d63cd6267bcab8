"""An orthonormal rotation that gives any embedding usable prefixes."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import numpy as np

from rag_plugins.errors import BadInput, StoreError
from rag_plugins.types import JsonValue
from rag_plugins.vectors import Matrix

__all__ = ["Rotation"]


@dataclass(frozen=True, slots=True, eq=False)
class Rotation:
    """The leading columns of an orthonormal matrix, shape (dim, width), by falling energy.

    All `dim` of them together keep every inner product; a prefix needs no more of them than it is wide.
    """

    columns: Matrix

    @classmethod
    def fit(cls, vectors: Matrix, width: int | None = None) -> Rotation:
        """Uncentred PCA of rows (n, dim): the eigenvectors of vectors.T @ vectors; `width` of them, or all.

        Centring would change inner products. Raises `BadInput` without rows or with a width beyond dim.
        """
        count, dim = vectors.shape
        wide = dim if width is None else width
        if not count or not 1 <= wide <= dim:
            raise BadInput(f"a rotation of {count} vectors to width {wide}: expected some, and 1 to {dim}")
        double = vectors.astype(np.float64)
        _, eigenvectors = np.linalg.eigh(double.T @ double)
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
        return {"shape": [self.dim, self.width], "float32": base64.b64encode(self.columns.tobytes()).decode()}

    @classmethod
    def from_json(cls, value: JsonValue) -> Rotation:
        """Raises `StoreError` where it is damaged."""
        try:
            assert isinstance(value, dict)  # noqa: S101
            numbers = np.frombuffer(base64.b64decode(str(value["float32"])), np.float32)
            return cls(numbers.reshape(value["shape"]))  # pyright: ignore[reportArgumentType, reportCallIssue]
        except (AssertionError, KeyError, TypeError, ValueError) as error:
            raise StoreError(
                f"a stored rotation is damaged ({error}): run `rag-plugins tune` again"
            ) from error
