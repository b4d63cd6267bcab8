"""Tokens of a model's own tokenizer, as terms."""

from __future__ import annotations

from typing import Any

from rag_plugins.errors import require
from rag_plugins.models.backend import find_weights, known_as
from rag_plugins.models.presets import DENSE_PRESETS, find_preset
from rag_plugins.models.sharing import Shared
from rag_plugins.models.tokenizer import SafeTokenizer

__all__ = ["WordPieces"]


class WordPieces:
    """Cuts text as a model does, but of any length; loads on first use, shared between threads."""

    def __init__(self, model: str) -> None:
        """`model` is a preset, a folder or a hub id; raises `UnknownPreset`, loads nothing."""
        self._model = model
        self._preset = find_preset(model, DENSE_PRESETS)
        self._shared = Shared(("wordpieces", model), self._load)

    @property
    def name(self) -> str:
        """How fingerprints know the tokenizer."""
        return self._preset.name if self._preset else known_as(self._model)

    def __call__(self, text: str) -> list[str]:
        """The tokens in reading order, without special ones and what the tokenizer cannot read."""
        tokenizer, tokens = self._shared.get()
        ids: list[int] = tokenizer([text], add_special_tokens=False)["input_ids"][0]
        return [tokens[id] for id in ids if id in tokens]

    def _load(self) -> tuple[SafeTokenizer, dict[int, str]]:
        """The tokenizer, and its tokens by id, special ones left out."""
        transformers: Any = require("transformers", extra="models")
        preset = self._preset
        weights = find_weights(preset.hub_id, preset.package) if preset else find_weights(self._model)
        tokenizer = transformers.AutoTokenizer.from_pretrained(str(weights.path), local_files_only=True)
        safe = SafeTokenizer(tokenizer)
        return safe, {id: token for token, id in tokenizer.get_vocab().items() if id not in safe.special}
