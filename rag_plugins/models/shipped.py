"""Weights that the package carries itself, each in a folder with its card."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from rag_plugins.errors import require
from rag_plugins.funnel import Rotation
from rag_plugins.models.backend import digest

__all__ = ["FOLDER", "ShippedRotation", "shipped_rotation"]

FOLDER = Path(__file__).parent / "weights"
"""Where these folders are."""


@dataclass(frozen=True, slots=True)
class ShippedRotation:
    """A rotation for vectors of one model, fitted on other texts than a collection's. `name` has a digest."""

    name: str
    rotation: Rotation


@lru_cache(maxsize=8)
def shipped_rotation(name: str) -> ShippedRotation:
    """Of a folder here; its columns are kept in half precision, orthonormal within 1e-3."""
    safetensors = require("safetensors.numpy", extra="models")
    columns = safetensors.load_file(FOLDER / name / "model.safetensors")["columns"]
    return ShippedRotation(f"{name} {digest(FOLDER / name)}", Rotation(columns.astype(np.float32)))
