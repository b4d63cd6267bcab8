"""Lexical weights of a bi-encoder's own tokens, as BGE-M3 gives them (arXiv:2402.03216, 3.2).

    w(t) = s_t  max over the places i of token t of  ReLU(a . h_i + b)

with h_i the trunk's state there, scaled to unit length, and s_t a weight that the token has wherever it
stands. A vector over the vocabulary with at most as many non-zeros as the text has distinct tokens. A module
of sentence-transformers, which knows no class of this name: `load_lexical` reads a folder back.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from sentence_transformers.base.modules import Module
from torch import nn

from rag_plugins.errors import ConfigError, require

__all__ = ["LexicalHead", "has_lexical_head", "lexical_model", "load_lexical"]


class LexicalHead(Module):
    """`token_embeddings` (n, tokens, width) to `sentence_embedding` (n, vocabulary)."""

    def __init__(self, width: int, vocabulary: int, special: list[int]) -> None:
        """All tokens weigh 1 at first; `special` ones, such as separators, 0 for ever."""
        super().__init__()
        self.width, self.vocabulary, self.special = width, vocabulary, special
        self.linear = nn.Linear(width, 1)
        nn.init.zeros_(self.linear.weight)
        nn.init.ones_(self.linear.bias)
        self.register_buffer("tokens", torch.ones(vocabulary))
        self.tokens: torch.Tensor

    def forward(self, features: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Adds the vectors."""
        ids, mask = features["input_ids"], features["attention_mask"]
        ordinary = mask.bool() & ~torch.isin(ids, torch.tensor(self.special, device=ids.device))
        states = nn.functional.normalize(features["token_embeddings"].float(), dim=-1)
        weights = self.linear(states).squeeze(-1).float().relu() * self.tokens[ids] * ordinary
        empty = weights.new_zeros(len(ids), self.vocabulary)
        features["sentence_embedding"] = empty.scatter_reduce(1, ids, weights, "amax")
        return features

    def get_embedding_dimension(self) -> int:
        """Size of the vocabulary."""
        return self.vocabulary

    def save(self, output_path: str, *args: Any, **kwargs: Any) -> None:
        """Weights in half precision, and sizes, into a folder."""
        folder = Path(output_path)
        folder.mkdir(parents=True, exist_ok=True)
        about = {name: getattr(self, name) for name in ("width", "vocabulary", "special")}
        (folder / "config.json").write_text(json.dumps(about), encoding="utf-8")
        weights = {name: value.detach().half().contiguous() for name, value in self.state_dict().items()}
        save_file(weights, folder / "model.safetensors")

    @classmethod
    def load(cls, model_name_or_path: str, subfolder: str = "", *_: Any, **__: Any) -> Self:
        """From such a folder. Raises `ConfigError` for another."""
        folder = Path(model_name_or_path) / subfolder
        try:
            made = cls(**json.loads((folder / "config.json").read_text(encoding="utf-8")))
            made.load_state_dict(load_file(folder / "model.safetensors"))
        except (OSError, RuntimeError, SafetensorError, TypeError, ValueError) as error:
            raise ConfigError(f"{folder} is no lexical head that can be loaded: {error}") from error
        return made


_CLASS = f"{LexicalHead.__module__}.{LexicalHead.__qualname__}"
"""The name that a saved model has for it."""


def has_lexical_head(path: Path) -> bool:
    """Whether a folder is a saved model of a trunk and this head."""
    return any(part.get("type") == _CLASS for part in _parts(path))


def load_lexical(path: Path, device: str | None = None) -> Any:
    """A saved model: sentence-transformers itself runs no class of others without `trust_remote_code`."""
    places = {part["type"].rsplit(".", 1)[-1]: path / part["path"] for part in _parts(path)}
    if set(places) != {"Transformer", "LexicalHead"}:
        raise ConfigError(f"{path} has {list(places)}: expected a Transformer and a LexicalHead")
    return lexical_model(places["Transformer"], LexicalHead.load(str(places["LexicalHead"])), device)


def lexical_model(trunk: Path, head: LexicalHead | None = None, device: str | None = None) -> Any:
    """A `SparseEncoder` of the trunk in this folder and a head, one that is not trained for None."""
    library: Any = require("sentence_transformers", extra="models")
    modules: Any = require("sentence_transformers.base.modules", extra="models")
    transformer = modules.Transformer(str(trunk), model_kwargs={"use_safetensors": True})
    tokenizer = transformer.tokenizer
    width, vocabulary = transformer.get_embedding_dimension(), len(tokenizer)
    if head is None:
        head = LexicalHead(width, vocabulary, sorted(tokenizer.all_special_ids))
    if (head.width, head.vocabulary) != (width, vocabulary):
        raise ConfigError(
            f"the lexical head is for states of {head.width} numbers and {head.vocabulary} tokens: "
            f"{trunk} has {width} and {vocabulary}"
        )
    return library.SparseEncoder(modules=[transformer, head], device=device, similarity_fn_name="dot")


def _parts(path: Path) -> list[dict[str, str]]:
    try:
        return json.loads((path / "modules.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
