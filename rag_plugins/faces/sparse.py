"""Sparse embedding as both frameworks have it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from rag_plugins.config import ComputeConfig, SparseLeg
from rag_plugins.faces import checked
from rag_plugins.models.protocols import SPARSE, Encoder, Encoding
from rag_plugins.types import EmbedText
from rag_plugins.wiring.legs import make_legs

__all__ = ["LearnedSparse"]


class LearnedSparse:
    """Weighted tokens of texts, of a SPLADE model or a BGE-M3's lexical head. Weights load on first use."""

    def __init__(self, model: str, compute: ComputeConfig | None, **settings: Any) -> None:
        """The settings are those of a sparse leg. Raises `ConfigError`, `UnknownPreset`."""
        with checked():
            leg = SparseLeg(model=model, **settings)
        self._encoder = cast("Encoder", make_legs([leg], compute=compute)[0].encoder)

    def queries(self, texts: Sequence[str]) -> list[dict[int, float]]:
        """{token id: weight} of each query, weights above 0."""
        return _dicts(self._encoder.encode_queries(texts, SPARSE))

    def documents(self, texts: Sequence[str]) -> list[dict[int, float]]:
        """{token id: weight} of each text, weights above 0; {} for one without any known token."""
        return _dicts(self._encoder.encode_documents([EmbedText(text) for text in texts], SPARSE))


def _dicts(encoding: Encoding) -> list[dict[int, float]]:
    return [vector.as_dict() for vector in encoding.sparse or ()]
