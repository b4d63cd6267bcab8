"""A tokenizer made safe to share, and the terms that its vocabulary is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from threading import Lock
from typing import Any

from rag_plugins.errors import ConfigError

__all__ = ["SafeTokenizer"]


class SafeTokenizer:
    """A tokenizer of transformers that several threads may use at once."""

    def __init__(self, tokenizer: Any) -> None:
        """Raises `ConfigError` for one without words: transformers makes such where a folder has none."""
        if len(tokenizer) <= len(set(tokenizer.all_special_ids)):
            raise ConfigError(
                f"{tokenizer.name_or_path}: the folder has no tokenizer, so that no word would be known: "
                "copy what its authors publish (tokenizer.json, vocab.txt or *.model)"
            )
        self._tokenizer = tokenizer
        self.lock: Lock = Lock()
        """Held while anyone uses the tokenizer: those written in Rust fail when two threads do."""

    @cached_property
    def special(self) -> frozenset[int]:
        """Ids of tokens that stand for no text: padding, markers, the unknown."""
        return frozenset(self._tokenizer.all_special_ids)

    @cached_property
    def unknown(self) -> int | None:
        """The id of what it cannot read."""
        return self._tokenizer.unk_token_id

    def __call__(self, texts: Sequence[str], **options: Any) -> Mapping[str, Any]:
        """Token ids under "input_ids", a list a text, and what else the options ask for."""
        with self.lock:
            return self._tokenizer(list(texts), verbose=False, **options) if texts else {"input_ids": []}

    def terms(self, ids: Sequence[int]) -> list[str]:
        """Tokens as a reader would write them; those that no text can hold, by their number."""
        with self.lock:
            return [self._term(id) for id in ids]

    def literal(self, text: str) -> frozenset[int]:
        """Ids of the tokens that a text is made of, however long it is."""
        return frozenset(self([text], add_special_tokens=False)["input_ids"][0]) - self.special

    def unread(self, text: str) -> float:
        """The share of a text's tokens that the vocabulary has no entry for, 0 to 1."""
        ids = self._ids(text)
        return sum(id == self.unknown for id in ids) / len(ids) if ids else 0.0

    def _ids(self, text: str) -> list[int]:
        """Tokens of the text alone; where the tokenizer is written in Rust, without what a batch costs."""
        rust = getattr(self._tokenizer, "backend_tokenizer", None)
        if rust is None:
            return self([text], add_special_tokens=False)["input_ids"][0]
        with self.lock:
            encoded = rust.encode(text, add_special_tokens=False)
        return [id for id, own in zip(encoded.ids, encoded.attention_mask, strict=True) if own]

    def _term(self, id: int) -> str:
        text: str = self._tokenizer.decode([id]).strip()
        # A token of a byte-level vocabulary may be a part of a character, or nothing but space.
        if text and "\ufffd" not in text:
            return text
        return self._tokenizer.convert_ids_to_tokens(id) or f"[{id}]"
