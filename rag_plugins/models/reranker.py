"""Second readings of a shortlist: query and passage together, to one score a passage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from rag_plugins.config import Bm25Leg, CrossEncoderConfig
from rag_plugins.errors import ConfigError, require
from rag_plugins.models.analysis import word_spans
from rag_plugins.models.backend import Weights, find_weights, limit_length, quiet, shared
from rag_plugins.models.batching import token_batches
from rag_plugins.models.bm25 import Bm25Encoder
from rag_plugins.models.presets import RERANKER_PRESETS, find_preset
from rag_plugins.models.protocols import Candidate, Encoding, Representation, TokenModel
from rag_plugins.models.sides import query_texts, view_texts
from rag_plugins.models.tokens import max_similarities, pack_tokens
from rag_plugins.models.trunk import Span
from rag_plugins.types import EmbedText, embed_text
from rag_plugins.vectors import FloatArray, Matrix

__all__ = ["CrossEncoderReranker", "LateInteractionReranker"]

_BUDGET = 1024
"""Tokens a batch of pairs, padding included: measured as the fastest on a CPU, at 2 to 9 % padding."""

_TOKENS = frozenset({Representation.TOKENS})


class LateInteractionReranker:
    """How well each query token is matched by some token of the passage, weighted by how rare its word is.

        score(q, d) = sum over query tokens t of  idf(t) max over tokens u of d of cos(t, u) / sum of idf(t)

    MaxSim (ColBERT, arXiv:2004.12832) over the token vectors of a plain bi-encoder: at most about 1. A
    query token that the model cannot read (Chinese, to an English model) is matched literally instead.
    """

    name = "late-interaction"
    reads_tokens = True

    def __init__(self, encoder: TokenModel, lexical: Bm25Encoder | None = None) -> None:
        """`lexical` knows the collection's idf; without it, or while it is empty, the candidates give it."""
        self._encoder = encoder
        self._lexical = lexical

    def score(self, query: str, candidates: Sequence[Candidate]) -> FloatArray:
        """Shape (n,), 0 where nothing can match; `StoreError` for token vectors of another model.

        Candidates without packed tokens are encoded and packed here, so that all scores compare.
        """
        text = query_texts([query])[0]
        read, unread = self._encoder.query_spans(text)
        if not candidates or not any(end > start for start, end in read + unread):
            return np.zeros(len(candidates), np.float32)
        lexical = self._statistics(candidates)
        terms = _token_terms(text, read + unread, lexical)
        similar = max_similarities(
            _tokens(self._encoder.encode_queries([text], _TOKENS))[0], self._packed(candidates)
        )
        literal = _literal(terms[len(read) :], candidates, lexical)
        return np.hstack([similar, literal]) @ _weights(terms, lexical)

    def _statistics(self, candidates: Sequence[Candidate]) -> Bm25Encoder:
        if self._lexical and self._lexical.statistics.documents:
            return self._lexical
        local = Bm25Encoder(Bm25Leg())
        local.learn([_text_view(candidate) for candidate in candidates])
        return local

    def _packed(self, candidates: Sequence[Candidate]) -> list[bytes]:
        bare = [n for n, candidate in enumerate(candidates) if candidate.tokens is None]
        packed = [candidate.tokens or b"" for candidate in candidates]
        if bare:
            views = [_text_view(candidates[n]) for n in bare]
            matrices = _tokens(self._encoder.encode_documents(views, _TOKENS))
            for n, matrix in zip(bare, matrices, strict=True):
                packed[n] = pack_tokens(matrix)
        return packed


def _tokens(encoding: Encoding) -> tuple[Matrix, ...]:
    return encoding.tokens or ()


def _token_terms(query: str, tokens: Sequence[Span], lexical: Bm25Encoder) -> list[list[str]]:
    """For each query token the terms of the word it belongs to, none for punctuation.

    A run of Chinese makes several terms: then only those that the token is part of.
    """
    words = word_spans(query)
    found: list[list[str]] = []
    for start, end in tokens:
        word = next((span for span in words if span[0] < end and start < span[1]), (0, 0))
        terms = lexical.terms(query[slice(*word)])
        piece = query[start:end].casefold()
        found.append([term for term in terms if piece in term] or terms)
    return found


def _weights(terms: Sequence[Sequence[str]], lexical: Bm25Encoder) -> FloatArray:
    """Each query token's share, shape (tokens,), summing to 1: the mean idf of its terms."""
    idf = [sum(map(lexical.idf, some)) / max(len(some), 1) for some in terms]
    weights = np.array(idf, np.float32)
    if not weights.any():  # Only punctuation: all count alike.
        weights[:] = 1.0
    return weights / weights.sum()


def _literal(terms: Sequence[Sequence[str]], candidates: Sequence[Candidate], lexical: Bm25Encoder) -> Matrix:
    """Shape (candidates, tokens): which share of each token's terms, by idf, the candidate has."""
    matched = np.zeros((len(candidates), len(terms)), np.float32)
    if not any(terms):
        return matched
    for row, candidate in zip(matched, candidates, strict=True):
        has = set(lexical.terms(_text_view(candidate).text))
        for n, some in enumerate(terms):
            total = sum(map(lexical.idf, some))
            row[n] = sum(lexical.idf(term) for term in some if term in has) / total if total else 0.0
    return matched


def _text_view(candidate: Candidate) -> EmbedText:
    """What a text model reads of a candidate; one that has only images reads as empty."""
    return embed_text(candidate.views) or EmbedText("")


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

    def __init__(self, config: CrossEncoderConfig) -> None:
        """Raises `UnknownPreset`; loads nothing."""
        self._config = config
        self._preset = find_preset(config.model, RERANKER_PRESETS)

    @property
    def name(self) -> str:
        """The preset's name, the folder's name or the hub id."""
        if self._preset:
            return self._preset.name
        path = Path(self._config.model).expanduser()
        return path.resolve().name if path.is_dir() else self._config.model

    @property
    def source(self) -> str:
        """Where its weights come from: "folder …", "cache" or "hub". May download."""
        return self._weights.source

    def score(self, query: str, candidates: Sequence[Candidate]) -> FloatArray:
        """Shape (n,). A candidate that has only images reads as empty; what is not finite scores lowest."""
        text = query_texts([query])[0]
        pairs = [
            (text, passage) for passage in view_texts([_text_view(candidate) for candidate in candidates])
        ]
        if not pairs:
            return np.zeros(0, np.float32)
        shared_model = self._shared
        with shared_model.lock:
            return _finite(_predict(shared_model.model, pairs))

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
