"""Embedding as both frameworks have it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from rag_plugins.config import ComputeConfig, Config, DenseLeg
from rag_plugins.models.dense import DenseEncoder
from rag_plugins.models.protocols import Encoding
from rag_plugins.types import EmbedText
from rag_plugins.vectors import Matrix

__all__ = ["Matryoshka"]


class Matryoshka:
    """A dense model whose vectors are cut to `dimensions`; the weights load on first use."""

    def __init__(
        self,
        model: str,
        dimensions: int | None = None,
        matryoshka: Sequence[int] | None = None,
        allow_remote_code: bool = False,
        code_revision: str | None = None,
        compute: ComputeConfig | Mapping[str, Any] | None = None,
    ) -> None:
        """The settings are those of a dense leg, `dimensions` its `store_width`, and of a `ComputeConfig`.

        Raises `ConfigError` for a width that neither `matryoshka` nor the preset has, `UnknownPreset`.
        """
        settings = {
            "model": model,
            "store_width": dimensions,
            "matryoshka": matryoshka,
            "allow_remote_code": allow_remote_code,
            "code_revision": code_revision,
        }
        config = Config.make({"legs": [{"kind": "dense", **settings}], "compute": compute or {}})
        self._encoder = DenseEncoder(cast("DenseLeg", config.legs[0]), config.compute)

    def queries(self, texts: Sequence[str]) -> list[list[float]]:
        """One unit vector a query."""
        return _plain_lists(self._encoder.encode_queries(texts)) if texts else []

    def documents(self, texts: Sequence[str]) -> list[list[float]]:
        """One unit vector a text."""
        views = [EmbedText(text) for text in texts]
        return _plain_lists(self._encoder.encode_documents(views)) if texts else []


def _plain_lists(encoding: Encoding) -> list[list[float]]:
    return cast("Matrix", encoding.dense).tolist()  # What encoders give unless asked otherwise.
