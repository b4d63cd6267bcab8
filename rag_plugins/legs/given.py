"""Vectors that others have made with a leg's own model: used as they are, once they are known to fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias, cast

import numpy as np

from rag_plugins.errors import BadInput
from rag_plugins.models.protocols import DenseModel, Leg, Representation
from rag_plugins.vectors import FloatArray, normalise

__all__ = ["Given", "GivenVectors", "given_vectors"]

Given: TypeAlias = "Mapping[str, Sequence[float] | FloatArray]"
"""A vector by name: of a leg, for a query; of a passage's id, for passages."""

GivenVectors: TypeAlias = Mapping[str, Mapping[str, FloatArray]]
"""Unit vectors by leg and by passage id."""


def given_vectors(legs: Mapping[str, Leg], leg: str, vectors: Given) -> dict[str, FloatArray]:
    """The vectors of a leg with length 1, by their names. Raises `BadInput` for those that are none of it."""
    known = [name for name, each in legs.items() if _dense(each)]
    if leg not in known:
        raise BadInput(f"vectors of leg {leg!r}: the dense legs of this collection are {known}")
    if not vectors:
        return {}
    dim = cast("DenseModel", legs[leg].encoder).dim
    for name, vector in vectors.items():
        _check(f"leg {leg}: the vector of {name!r}", vector, dim)
    matrix = np.array(list(vectors.values()), np.float64)
    # Scaled first: numbers near the limits of float64 have a length beyond those of float32.
    scaled = (matrix / np.abs(matrix).max(axis=1, keepdims=True)).astype(np.float32)
    return dict(zip(vectors, normalise(scaled), strict=True))


def _dense(leg: Leg) -> bool:
    return leg.representation is Representation.DENSE and leg.reads == "text"


def _check(what: str, vector: Sequence[float] | FloatArray, dim: int) -> None:
    try:
        numbers = np.asarray(vector, np.float64)
    except (TypeError, ValueError) as error:
        raise BadInput(f"{what} is no list of numbers ({error})") from error
    if numbers.shape != (dim,):
        raise BadInput(f"{what} has shape {numbers.shape}, and the leg's model gives ({dim},)")
    if not np.isfinite(numbers).all() or not numbers.any():
        raise BadInput(f"{what} is all zeros or has numbers that are not finite")
