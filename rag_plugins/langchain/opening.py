"""An index whose dense vectors somebody's Embeddings make."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from langchain_core.embeddings import Embeddings

from rag_plugins.config import Config
from rag_plugins.faces.legs import with_encoder
from rag_plugins.index import RagIndex
from rag_plugins.langchain.foreign import from_langchain
from rag_plugins.models.protocols import Encoder, ImageEncoder

__all__ = ["open_with"]


def open_with(
    embedding: Embeddings | None,
    path: str | Path,
    *,
    name: str | None = None,
    preset: str = "local",
    config: Config | None = None,
    encoders: Mapping[str, Encoder | ImageEncoder] | None = None,
    **settings: Any,
) -> RagIndex:
    """`RagIndex.open`, the first dense leg's vectors made by `embedding`; None: by the leg's own model.

    `name`, its `model` or `model_name` by default and else its class', is how collections know it. It has no
    token vectors, so that late interaction is left out.
    """
    config = config or Config.preset(preset)
    given: Mapping[str, Encoder] = {}
    if embedding is not None:
        config, given = with_encoder(config, from_langchain(embedding, name=name or _name(embedding)))
    return RagIndex.open(path, config=config, encoders={**given, **(encoders or {})}, **settings)


def _name(embedding: Embeddings) -> str:
    given = (getattr(embedding, attribute, None) for attribute in ("model", "model_name"))
    return next((name for name in given if isinstance(name, str) and name), type(embedding).__name__)
