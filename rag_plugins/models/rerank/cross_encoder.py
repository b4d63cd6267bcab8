"""Cross-encoders: query and passage read as one text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from rag_plugins.config import ComputeConfig, CrossEncoderConfig
from rag_plugins.errors import ConfigError, require
from rag_plugins.models.backend import Weights, find_weights, limit_length, quiet, shared
from rag_plugins.models.batching import token_batches
from rag_plugins.models.presets import RERANKER_PRESETS, find_preset
from rag_plugins.models.protocols import Candidate, Scale, Scores
from rag_plugins.models.rerank.candidates import text_view
from rag_plugins.models.sides import query_texts, view_texts
from rag_plugins.vectors import FloatArray

__all__ = ["CrossEncoderReranker"]

_BUDGET = 1024
"""Tokens a batch of pairs, padding included: measured as the fastest on a CPU, at 2 to 9 % padding."""


@dataclass(frozen=True)
class _Shared:
    """A CrossEncoder and the lock around its use: its tokenizer fails when two threads use it."""

    model: Any
    lock: Lock = field(default_factory=Lock)


class CrossEncoderReranker:
    """A cross-encoder that reads query and passage as one text; loads on first use, shared between threads.

    `config.model` is a preset, a folder or a hub id of a sequence classifier with one label. Scores are
    the model's own, as `CrossEncoder.predict` gives them.
    """

    reads_tokens = False
    reads_images = False

    def __init__(self, config: CrossEncoderConfig, compute: ComputeConfig | None = None) -> None:
        """Raises `UnknownPreset`; loads nothing."""
        self._config = config
        self._compute = compute or ComputeConfig()
        self._preset = find_preset(config.model, RERANKER_PRESETS)

    @property
    def name(self) -> str:
        """The preset's name, the folder's name or the hub id."""
        if self._preset:
            return self._preset.name
        path = Path(self._config.model).expanduser()
        return path.resolve().name if path.is_dir() else self._config.model

    @property
    def scale(self) -> Scale:
        """What its scores are."""
        return self._preset.scale if self._preset else "probability"

    @property
    def source(self) -> str:
        """Where its weights come from: "folder …", "cache" or "hub". May download."""
        return self._weights.source

    def score(self, query: str, candidates: Sequence[Candidate]) -> Scores:
        """A candidate that has only images reads as empty; what is not finite scores lowest."""
        text = query_texts([query])[0]
        pairs = [
            (text, passage) for passage in view_texts([text_view(candidate) for candidate in candidates])
        ]
        if not pairs:
            return Scores(np.zeros(0, np.float32))
        shared_model = self._shared
        with shared_model.lock:
            return Scores(_finite(_predict(shared_model.model, pairs)))

    @cached_property
    def _weights(self) -> Weights:
        return find_weights(self._preset.hub_id if self._preset else self._config.model)

    @cached_property
    def _shared(self) -> _Shared:
        path, device = self._weights.path, self._config.device
        max_length = self._config.max_length or (self._preset.max_length if self._preset else None)
        return shared(
            ("cross-encoder", path, max_length, device), lambda: _Shared(_load(path, max_length, device))
        )


def _load(path: Path, max_length: int | None, device: str | None) -> Any:
    library: Any = require("sentence_transformers", extra="models")
    with quiet():
        model = library.CrossEncoder(
            str(path), device=device, local_files_only=True, model_kwargs={"use_safetensors": True}
        )
    if model.num_labels != 1:
        raise ConfigError(f"{path} gives {model.num_labels} labels a pair: a reranker gives one score")
    limit_length(model, max_length)
    return model


def _predict(model: Any, pairs: Sequence[tuple[str, str]]) -> FloatArray:
    queries, passages = (list(side) for side in zip(*pairs, strict=True))
    encoded: Mapping[str, Sequence[Sequence[int]]] = model.tokenizer(
        queries, passages, truncation=True, max_length=model.max_seq_length
    )
    scores = np.zeros(len(pairs), np.float32)
    for batch in token_batches([len(ids) for ids in encoded["input_ids"]], _BUDGET):
        scores[batch] = model.predict(
            [pairs[n] for n in batch], batch_size=len(batch), show_progress_bar=False
        )
    return scores


def _finite(scores: FloatArray) -> FloatArray:
    finite = np.isfinite(scores)
    lowest = scores[finite].min() if finite.any() else np.float32(0.0)
    return np.where(finite, scores, lowest)
