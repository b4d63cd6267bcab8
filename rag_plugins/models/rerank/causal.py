"""Causal language models as rerankers: the score is how much likelier one answer is than the other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rag_plugins.errors import ConfigError, require
from rag_plugins.models.facts import RerankerPreset

__all__ = ["causal_modules"]


def causal_modules(
    path: Path, preset: RerankerPreset, settings: Mapping[str, Any] | None = None
) -> list[Any]:
    """The modules of a CrossEncoder for a plain causal model in a folder, with the preset's answers.

    `settings` are arguments of `from_pretrained` ("dtype" …); only safetensors of the folder are read.
    Raises `ConfigError` where an answer is not one token.
    """
    modules: Any = require("sentence_transformers.cross_encoder.modules", extra="models")
    local = {"local_files_only": True}
    transformer = modules.Transformer(
        str(path),
        transformer_task="text-generation",
        model_kwargs={"use_safetensors": True, **local, **(settings or {})},
        processor_kwargs={**local},
        config_kwargs={**local},
    )
    answers = [answer and _token(transformer.tokenizer, answer) for answer in preset.answers]
    return [transformer, modules.LogitScore(*answers)]


def _token(tokenizer: Any, answer: str) -> int:
    ids: list[int] = tokenizer.encode(answer, add_special_tokens=False)
    if len(ids) != 1:
        raise ConfigError(f"the answer {answer!r} is {len(ids)} tokens of this model, expected 1")
    return ids[0]
