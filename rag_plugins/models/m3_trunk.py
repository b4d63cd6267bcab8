"""A BGE-M3 as loaded: the trunk, its heads, its tokenizer; one forward pass to all that they give.

    dense    CLS(hidden)                                            unit length
    lexical  max over the positions of a token id of relu(sparse_linear(hidden))
    tokens   colbert_linear(hidden) of every token but the first    unit length

(BGE M3-Embedding, arXiv:2402.03216; FlagEmbedding 1.4.2 is the reference.)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag_plugins.errors import ConfigError, require
from rag_plugins.models.backend import first_line, load_tensors, quiet, readable_length
from rag_plugins.models.batching import token_batches
from rag_plugins.models.compute.rule import Choice
from rag_plugins.models.compute.run import accelerate
from rag_plugins.models.protocols import Span
from rag_plugins.models.tokenizer import SafeTokenizer
from rag_plugins.models.trunk import as_array
from rag_plugins.vectors import FloatArray, Matrix, SparseVector

__all__ = ["M3Trunk", "Reading"]

_WORD_BEGINS = "\u2581"
"""What SentencePiece writes for the space before a word; sometimes a token of its own."""

_NOWHERE: Span = (0, 0)
"""Where a token is that stands for no word of its text."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one pass made of one text: a unit vector, weights by token id, a unit vector a token.

    tokens: (n - 1, width), all but the first of the text's n tokens; (0, width) where not asked for.
    """

    dense: FloatArray
    lexical: SparseVector
    tokens: Matrix


class M3Trunk:
    """Trunk, heads and tokenizer from a folder. May be used by several threads at once."""

    def __init__(
        self, tokenizer: Any, transformer: Any, heads: Mapping[str, tuple[Any, Any]], choice: Choice
    ) -> None:
        """`heads` has (weight, bias) under "sparse_linear" and "colbert_linear"; all in fp32."""
        self.choice: Choice = accelerate(transformer, choice)
        self._tokenizer = SafeTokenizer(tokenizer)
        self._transformer = transformer
        self._heads = heads
        self._usual_length: int | None = tokenizer.model_max_length
        self._padding: int = tokenizer.pad_token_id or 0
        special = (
            tokenizer.cls_token_id,
            tokenizer.eos_token_id,
            tokenizer.pad_token_id,
            tokenizer.unk_token_id,
        )
        self._weightless = [id for id in special if id is not None]

    @classmethod
    def load(cls, path: Path, choice: Choice) -> M3Trunk:
        """Raises `ConfigError` for a folder that is no BGE-M3 and says what is wrong with it."""
        tokenizer, transformer = _load_trunk(path)
        width: int = transformer.config.hidden_size
        heads = {
            "sparse_linear": _load_head(path, "sparse_linear", width, rows=1),
            "colbert_linear": _load_head(path, "colbert_linear", width, rows=None),
        }
        placed = {
            name: (weight.float().to(choice.device), bias.float().to(choice.device))
            for name, (weight, bias) in heads.items()
        }
        return cls(tokenizer, transformer.to(choice.device).eval(), placed, choice)

    @property
    def dim(self) -> int:
        """Width of its sentence vectors."""
        return int(self._transformer.config.hidden_size)

    def length(self, wanted: int | None) -> int:
        """How many tokens of a text it reads; raises `ConfigError` where it cannot read as many."""
        return readable_length(self._transformer, wanted, self._usual_length)

    def read(self, texts: Sequence[str], max_length: int, *, tokens: bool) -> Iterator[tuple[int, Reading]]:
        """Read each text once; gives its position in `texts` beside what was read, batch after batch."""
        ids: list[list[int]] = self._tokenizer(texts, truncation=True, max_length=max_length)["input_ids"]
        for batch in token_batches([len(row) for row in ids], self.choice.budget):
            yield from zip(batch, self._forward([ids[n] for n in batch], tokens), strict=True)

    def unread(self, text: str) -> float:
        """See `SafeTokenizer.unread`."""
        return self._tokenizer.unread(text)

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each text has, all but the first marker: `read` has a vector for each of them."""
        return [len(ids) - 1 for ids in self._tokenizer(texts)["input_ids"]]

    def spans(self, text: str, max_length: int) -> tuple[list[Span], list[Span]]:
        """Where in `text` the tokens with a vector are, (0, 0) for those that stand for no word of it.

        Those are the end marker, the unknown token and a word's beginning apart from the word. The second
        list is where the unknown tokens are.
        """
        options = {"truncation": True, "max_length": max_length, "return_offsets_mapping": True}
        encoded = self._tokenizer([text], **options)
        ids: list[int] = encoded["input_ids"][0][1:]
        places = [_trimmed(place, text) for place in encoded["offset_mapping"][0][1:]]
        words = [
            id not in self._weightless and term.strip(_WORD_BEGINS) != ""
            for id, term in zip(ids, self.terms(ids), strict=True)
        ]
        read = [place if word else _NOWHERE for place, word in zip(places, words, strict=True)]
        unknown = self._tokenizer.unknown
        return read, [place for id, place in zip(ids, places, strict=True) if id == unknown]

    def literal(self, text: str) -> frozenset[int]:
        """The ids of the tokens that `text` is made of."""
        ids = self._tokenizer([text], add_special_tokens=False)["input_ids"][0]
        return frozenset(ids).difference(self._weightless)

    def terms(self, ids: Sequence[int]) -> list[str]:
        """Tokens as text; one that is blank is given as the vocabulary spells it."""
        return self._tokenizer.terms(ids)

    def _forward(self, rows: Sequence[Sequence[int]], tokens: bool) -> Iterator[Reading]:
        import torch
        from torch.nn.functional import linear, normalize

        ids, mask = self._padded(rows)
        with torch.inference_mode():
            hidden = self._transformer(input_ids=ids, attention_mask=mask).last_hidden_state
            dense = as_array(normalize(hidden[:, 0], dim=-1))
            weights = as_array(linear(hidden, *self._heads["sparse_linear"]).squeeze(-1))
            read = hidden[:, 1:] if tokens else hidden[:, :0]
            vectors = as_array(normalize(linear(read, *self._heads["colbert_linear"]), dim=-1))
        for n, row in enumerate(rows):
            # Copies: a slice would keep the whole batch, padding and all, as long as the text's vectors.
            yield Reading(
                dense[n].copy(),
                self._lexical(np.array(row), weights[n, : len(row)]),
                vectors[n, : len(row) - 1].copy(),
            )

    def _padded(self, rows: Sequence[Sequence[int]]) -> tuple[Any, Any]:
        import torch
        from torch.nn.utils.rnn import pad_sequence

        def padded(values: list[Any], filler: int) -> Any:
            return pad_sequence(values, batch_first=True, padding_value=filler).to(self._transformer.device)

        ids = [torch.tensor(row) for row in rows]
        return padded(ids, self._padding), padded([torch.ones_like(row) for row in ids], 0)

    def _lexical(self, ids: NDArray[np.int64], weights: FloatArray) -> SparseVector:
        # What ReLU would make zero is no weight.
        counted = (weights > 0) & ~np.isin(ids, self._weightless)
        found, where = np.unique(ids[counted], return_inverse=True)
        best = np.zeros(len(found), np.float32)
        np.maximum.at(best, where, weights[counted])
        return SparseVector(found.astype(np.uint32), best)


def _load_trunk(path: Path) -> tuple[Any, Any]:
    library: Any = require("transformers", extra="models")
    options = {"local_files_only": True, "trust_remote_code": False}
    try:
        with quiet():
            transformer, report = library.AutoModel.from_pretrained(
                str(path),
                dtype="float32",
                use_safetensors=any(path.glob("model*.safetensors")),
                weights_only=True,
                output_loading_info=True,
                **options,
            )
        tokenizer = library.AutoTokenizer.from_pretrained(str(path), **options)
    except Exception as error:  # A damaged folder raises whatever its files come to.
        raise ConfigError(f"{path} is no model that can be loaded: {first_line(error)}") from error
    # Nothing here reads the pooler; anything else would be left at random.
    absent = sorted(name for name in report["missing_keys"] if not name.startswith("pooler."))
    if absent:
        raise ConfigError(f"{path} lacks {len(absent)} weights of its trunk, {absent[0]} for one")
    return tokenizer, transformer


def _load_head(path: Path, name: str, width: int, rows: int | None) -> tuple[Any, Any]:
    """Weight (rows, width) and bias (rows,); any number of rows where None is given."""
    safe = path / f"{name}.safetensors"
    file = safe if safe.is_file() else path / f"{name}.pt"
    tensors = load_tensors(file)
    shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    outputs = rows or next(iter(shapes.get("weight", ())), 0)
    expected = {"weight": (outputs, width), "bias": (outputs,)}
    if shapes != expected:
        raise ConfigError(f"{file} holds {shapes}, expected {expected} for a trunk {width} wide")
    return tensors["weight"], tensors["bias"]


def _trimmed(span: Span, text: str) -> Span:
    """Without the space around it, which a token may begin with."""
    piece = text[slice(*span)]
    start = span[0] + len(piece) - len(piece.lstrip())
    return start, start + len(piece.strip())
