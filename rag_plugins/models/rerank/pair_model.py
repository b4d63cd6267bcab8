"""A loaded cross-encoder: pairs of texts to scores, in batches whose size is counted in tokens."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rag_plugins.errors import QueryTooLong
from rag_plugins.models.batching import token_batches
from rag_plugins.models.compute.rule import Choice
from rag_plugins.models.protocols import Read, Scale, Scores
from rag_plugins.models.rerank.cutting import Limit, Piece, Pieces
from rag_plugins.models.rerank.finite import finite
from rag_plugins.models.tokenizer import SafeTokenizer
from rag_plugins.models.trunk import as_array
from rag_plugins.vectors import FloatArray

__all__ = ["PairModel", "Reader", "Texts"]

Texts: TypeAlias = tuple[str, str]
"""A query and a passage."""

Reader: TypeAlias = Callable[[Sequence[Texts], Limit], list[Pieces | None]]
"""What a model reads of pairs; None for a pair whose query leaves no room."""

_CHUNK = 1024
"""Pairs in memory as tokens: enough to sort by length, however many there are."""


@dataclass(frozen=True)
class PairModel:
    """A CrossEncoder of sentence-transformers, run on its `choice`. May be used by several threads at once.

    `max_length` is how many tokens it reads at once.
    """

    model: Any
    tokenizer: SafeTokenizer
    reader: Reader = field(repr=False)
    choice: Choice
    max_length: int

    @property
    def scale(self) -> Scale:
        """What its activation makes of logits."""
        return "probability" if type(self.model.activation_fn).__name__ == "Sigmoid" else "logit"

    def score(self, pairs: Sequence[Texts], *, windows: bool) -> Scores:
        """A score a pair; windows: the best of a passage's. Raises `QueryTooLong`."""
        values, read = np.zeros(len(pairs), np.float32), dict[int, Read]()
        for start in range(0, len(pairs), _CHUNK):
            chunk = self._pieces(pairs[start : start + _CHUNK], Limit(self.max_length, windows))
            read |= {start + n: pieces.read for n, pieces in enumerate(chunk) if pieces.read}
            values[start : start + len(chunk)] = self._best(chunk)
        sound, notices = finite(values)
        return Scores(sound, read, notices)

    def _pieces(self, pairs: Sequence[Texts], limit: Limit) -> list[Pieces]:
        found: list[Pieces] = []
        for (query, _), pieces in zip(pairs, self.reader(pairs, limit), strict=True):
            if pieces is None:
                raise self._too_long(query)
            found.append(pieces)
        return found

    def _best(self, chunk: Sequence[Pieces]) -> FloatArray:
        """The highest score of each pair's pieces; NaN where none is finite."""
        scores = self._scores([piece for pieces in chunk for piece in pieces.pieces])
        starts = np.cumsum([0, *[len(pieces.pieces) for pieces in chunk[:-1]]])
        best = np.maximum.reduceat(np.where(np.isfinite(scores), scores, -np.inf), starts)
        return np.where(np.isfinite(best), best, np.nan).astype(np.float32)

    def _scores(self, pieces: Sequence[Piece]) -> FloatArray:
        scores = np.zeros(len(pieces), np.float32)
        for batch in token_batches([len(piece.ids) for piece in pieces], self.choice.budget):
            scores[batch] = self._forward(self._features([pieces[n] for n in batch]))
        return scores

    def _features(self, batch: Sequence[Piece]) -> Mapping[str, NDArray[np.int64]]:
        """Padded where and with what the tokenizer pads."""
        tokenizer: Any = self.model.tokenizer
        shape = (len(batch), max(len(piece.ids) for piece in batch))
        left = tokenizer.padding_side == "left"
        ids = np.full(shape, tokenizer.pad_token_id, np.int64)
        types = np.full(shape, tokenizer.pad_token_type_id, np.int64)
        mask = np.zeros(shape, np.int64)
        for row, piece in enumerate(batch):
            length = len(piece.ids)
            place = slice(shape[1] - length, None) if left else slice(length)
            ids[row, place] = piece.ids
            mask[row, place] = 1
            if piece.types is not None:
                types[row, place] = piece.types
        features = {"input_ids": ids, "attention_mask": mask}
        if self._placed:
            features["position_ids"] = np.maximum(mask.cumsum(axis=1) - 1, 0)
        return features if batch[0].types is None else {**features, "token_type_ids": types}

    def _forward(self, arrays: Mapping[str, NDArray[np.int64]]) -> FloatArray:
        """As `CrossEncoder.predict` does with what it has tokenised."""
        import torch

        transformer: Any = self.model[0]
        features: dict[str, Any] = {
            name: torch.from_numpy(array).to(self.model.device) for name, array in arrays.items()
        }
        features["modality"] = "message" if "message" in transformer.modality_config else "text"
        if transformer.transformer_task in ("text-generation", "any-to-any"):
            features["logits_to_keep"] = 1
        with torch.inference_mode():
            scores = self.model.activation_fn(self.model(features)["scores"].float())
        return as_array(scores).reshape(len(arrays["input_ids"]))

    @cached_property
    def _placed(self) -> bool:
        """Whether it is told positions: learned ones would count the padding before a text as well."""
        transformer = self.model[0]
        return (
            transformer.transformer_task == "text-generation"
            and self.choice.backend == "torch"
            and "position_ids" in inspect.signature(transformer.model.forward).parameters
        )

    def _too_long(self, query: str) -> QueryTooLong:
        tokens = len(self.tokenizer([query], add_special_tokens=False)["input_ids"][0])
        return QueryTooLong(
            f"the query has {tokens} tokens, and the model reads {self.max_length} at once, passage and "
            "markers included: too few are left for a passage. Shorten the query, raise max_length if the "
            "model allows it, or choose a model that reads more"
        )
