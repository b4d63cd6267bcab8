"""Sentence-transformers models made safe to share; a bi-encoder's one pass to sentence and token vectors."""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from rag_plugins.errors import ConfigError, RagPluginsError, require
from rag_plugins.models.backend import first_line, limit_length, quiet
from rag_plugins.models.batching import token_batches
from rag_plugins.models.collating import Collator, Rows
from rag_plugins.models.compute.rule import Choice
from rag_plugins.models.compute.run import accelerate
from rag_plugins.models.facts import Pooling
from rag_plugins.models.own_code import Permission, loadable, restore_buffers
from rag_plugins.models.tokenizer import SafeTokenizer
from rag_plugins.vectors import Matrix, normalise

__all__ = ["SharedModel", "Span", "Trunk", "as_array", "explained"]

Span: TypeAlias = tuple[int, int]
"""Start and end in a text, in characters."""

_REFUSED = Permission()


class SharedModel:
    """A sentence-transformers model that several threads may use at once."""

    def __init__(self, model: Any, choice: Choice) -> None:
        """Takes a model on its device, and makes it run as chosen."""
        # Weights saved in bf16 load so, which is slow where it is not chosen.
        self.choice: Choice = accelerate(model.eval().float(), choice)
        self.model = model
        self.tokenizer: SafeTokenizer = SafeTokenizer(model.tokenizer)
        self._collators: dict[tuple[Hashable, ...], Collator | None] = {}

    @property
    def max_length(self) -> int:
        """How many tokens of a text it reads."""
        return int(self.model.max_seq_length)

    @property
    def prompts(self) -> Mapping[str, str]:
        """Prompts that it was saved with, by name."""
        return self.model.prompts

    def tokenize(self, texts: Sequence[str], **options: Any) -> Mapping[str, Any]:
        """What the tokenizer makes of texts, cut to `max_length`."""
        return self.tokenizer(texts, truncation=True, max_length=self.max_length, **options)

    def outputs(
        self, texts: Sequence[str], prompt: str, budget: int, **options: Any
    ) -> Iterator[tuple[list[int], Mapping[str, Any]]]:
        """Positions of texts with what a forward pass gives for them, in batches of `budget` tokens.

        The options go to the pass: `task` ("query" or "document") for one.
        """
        rows = self._tokenize_after(prompt, texts)
        preprocess = partial(self._preprocess, prompt=prompt, **options)
        collate = self._collator(preprocess, prompt, *options.items()) if texts else None
        for batch in token_batches([len(ids) for ids in rows["input_ids"]], budget):
            features = collate(rows, batch) if collate else preprocess([texts[n] for n in batch])
            yield batch, self._forward(features, options)

    def _collator(self, preprocess: Callable[..., Any], prompt: str, *options: Hashable) -> Collator | None:
        key = (prompt, *options)
        if key not in self._collators:
            tokenize = partial(self._tokenize_after, prompt)
            self._collators[key] = Collator.of(self.model.tokenizer, tokenize, preprocess)
        return self._collators[key]

    def _tokenize_after(self, prompt: str, texts: Sequence[str]) -> Rows:
        return self.tokenize([prompt + text for text in texts])

    def _preprocess(self, texts: Sequence[str], **options: Any) -> Mapping[str, Any]:
        with self.tokenizer.lock:
            return self.model.preprocess(list(texts), **options)

    def _forward(self, features: Mapping[str, Any], options: Mapping[str, Any]) -> Mapping[str, Any]:
        import torch

        device = self.model.device
        on_device = {
            name: value.to(device) if torch.is_tensor(value) else value for name, value in features.items()
        }
        with torch.inference_mode():
            return self.model(on_device, **options)


class Trunk:
    """A bi-encoder loaded from a folder. May be used by several threads at once."""

    def __init__(self, transformer: Any, choice: Choice) -> None:
        """Take a `SentenceTransformer` on its device."""
        self._shared = SharedModel(transformer, choice)
        self._prompt_lengths: dict[str, int] = {}

    @classmethod
    def load(
        cls,
        path: Path,
        pooling: Pooling | None,
        max_length: int | None,
        choice: Choice,
        permission: Permission = _REFUSED,
    ) -> Trunk:
        """Load; a pooling that is given goes before the folder's own modules. Raises `ConfigError`."""
        with loadable(path, permission) as source, quiet(), explained(path, source.code):
            load = partial(_with_pooling, pooling=pooling) if pooling else _as_saved
            transformer = load(source.path, device=choice.device, trusted=source.code is not None)
            limit_length(transformer, max_length)
            if source.code:
                restore_buffers(transformer[0].auto_model)
                transformer.encode("text")  # What does not work here is to be known by now.
            return cls(transformer, choice)

    @property
    def choice(self) -> Choice:
        """What it runs on."""
        return self._shared.choice

    @property
    def dim(self) -> int:
        """Width of its vectors."""
        return int(self._shared.model.get_embedding_dimension())

    @property
    def max_length(self) -> int:
        """How many tokens of a text it reads."""
        return self._shared.max_length

    @property
    def prompts(self) -> Mapping[str, str]:
        """Prompts that it was saved with, by name."""
        return self._shared.prompts

    def encode(self, texts: Sequence[str], prompt: str, *, tokens: bool) -> tuple[Matrix, list[Matrix]]:
        """Unit sentence vectors, and where wanted, unit token vectors of each text's own tokens."""
        dense = np.zeros((len(texts), self.dim), np.float32)
        matrices = [np.zeros((0, self.dim), np.float32)] * len(texts)
        for batch, out in self._shared.outputs(texts, prompt, self.choice.budget):
            dense[batch] = as_array(out["sentence_embedding"])
            if tokens:
                rows = zip(as_array(out["token_embeddings"]), out["input_ids"].tolist(), strict=True)
                for n, (matrix, ids) in zip(batch, rows, strict=True):
                    matrices[n] = normalise(matrix[self._own(ids, prompt)])
        return normalise(dense), matrices

    def spans(self, text: str, prompt: str) -> tuple[list[Span], list[Span]]:
        """Where in `text` the tokens are that `encode` gives vectors for, and those it cannot read."""
        encoded = self._shared.tokenize([prompt + text], return_offsets_mapping=True)
        ids: list[int] = encoded["input_ids"][0]
        own, unknown = self._own(ids, prompt), self._shared.tokenizer.unknown
        # A token may begin in the prompt's last space.
        shifted = [
            (max(start - len(prompt), 0), max(end - len(prompt), 0))
            for start, end in encoded["offset_mapping"][0]
        ]
        read = [span for span, mine in zip(shifted, own, strict=True) if mine]
        return read, [span for span, id in zip(shifted, ids, strict=True) if id == unknown and span[1]]

    def unread(self, text: str) -> float:
        """See `SafeTokenizer.unread`."""
        return self._shared.tokenizer.unread(text)

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        """How many tokens of its own each text has, however long it is."""
        tokenizer = self._shared.tokenizer
        rows = tokenizer(texts, add_special_tokens=False)["input_ids"]
        return [sum(id not in tokenizer.special for id in ids) for ids in rows]

    def _own(self, ids: Sequence[int], prompt: str) -> list[bool]:
        """Which tokens are the text's: not padding, not special, not the prompt's."""
        left = self._prompt_length(prompt)
        own: list[bool] = []
        for id in ids:
            plain = id not in self._shared.tokenizer.special
            own.append(plain and left <= 0)
            left -= plain
        return own

    def _prompt_length(self, prompt: str) -> int:
        if prompt not in self._prompt_lengths:
            # Some tokenizers make a token of trailing space, which in a whole text belongs to the next word.
            ids = self._shared.tokenize([prompt.rstrip()], add_special_tokens=False)["input_ids"][0]
            self._prompt_lengths[prompt] = len(ids)
        return self._prompt_lengths[prompt]


def _as_saved(path: Path, *, device: str | None, trusted: bool) -> Any:
    library: Any = require("sentence_transformers", extra="models")
    return library.SentenceTransformer(
        str(path),
        device=device,
        local_files_only=True,
        trust_remote_code=trusted,
        model_kwargs={"use_safetensors": True},
    )


def _with_pooling(path: Path, *, pooling: Pooling, device: str | None, trusted: bool) -> Any:
    library: Any = require("sentence_transformers", extra="models")
    modules: Any = require("sentence_transformers.sentence_transformer.modules", extra="models")
    trust = {"trust_remote_code": trusted}
    transformer = modules.Transformer(
        str(path),
        model_kwargs={"use_safetensors": True, **trust},
        config_kwargs=trust,
        processor_kwargs=trust,
    )
    pool = modules.Pooling(transformer.get_embedding_dimension(), pooling)
    return library.SentenceTransformer(modules=[transformer, pool], device=device)


@contextmanager
def explained(path: Path, code: str | None) -> Generator[None]:
    """What a damaged folder raises, a model's own code, or transformers that refuse it, as `ConfigError`."""
    try:
        yield
    except RagPluginsError:
        raise
    except Exception as error:
        own = "a part of it is code of its own" if "trust_remote_code" in str(error) else ""
        reason = f"its own code ({code}) does not run" if code else own or "it is no model that can be loaded"
        raise ConfigError(f"{path}: {reason}: {type(error).__name__}: {first_line(error)}") from error


def as_array(tensor: Any) -> Matrix:
    """The numbers of a tensor, float32, in memory that numpy can reach."""
    return tensor.float().cpu().numpy()
