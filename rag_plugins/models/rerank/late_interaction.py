"""How well each token of the query is matched by some token of the passage."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from rag_plugins.config import Bm25Leg
from rag_plugins.models.analysis import word_spans
from rag_plugins.models.bm25 import Bm25Encoder
from rag_plugins.models.protocols import Candidate, Encoding, Read, Representation, Scale, Scores, TokenModel
from rag_plugins.models.rerank.candidates import text_view
from rag_plugins.models.rerank.matching import MatchHead, match_features
from rag_plugins.models.sides import query_texts
from rag_plugins.models.tokens import max_similarities, pack_tokens, similarities, token_count
from rag_plugins.models.trunk import Span
from rag_plugins.vectors import FloatArray, Matrix

__all__ = ["LateInteractionReranker"]

_TOKENS = frozenset({Representation.TOKENS})

_NEAR = 0.75
"""Of the tokens that an encoder reads: markers, prompts and what it cannot read have no vectors."""


class LateInteractionReranker:
    """How well each query token is matched by some token of the passage, weighted by how rare its word is.

        score(q, d) = sum over query tokens t of  idf(t) max over tokens u of d of cos(t, u) / sum of idf(t)

    MaxSim (ColBERT, arXiv:2004.12832) over the token vectors of a plain bi-encoder: at most about 1. A
    query token that the model cannot read (Chinese, to an English model) is matched literally instead.

    A `head` sums up more of how the tokens match, where the model reads the whole query.
    """

    name = "late-interaction"
    scale: Scale = "similarity"
    reads_tokens = True
    reads_images = False

    def __init__(
        self, encoder: TokenModel, lexical: Bm25Encoder | None = None, head: MatchHead | None = None
    ) -> None:
        """`lexical` knows the collection's idf; without it, or while it is empty, the candidates give it."""
        self._encoder = encoder
        self._lexical = lexical
        self._head = head

    # Of small products BLAS now and then reports as invalid what it has read beyond them, and does not use.
    @np.errstate(invalid="ignore")
    def score(self, query: str, candidates: Sequence[Candidate]) -> Scores:
        """0 where nothing can match; `StoreError` for token vectors of another model.

        Candidates without packed tokens are encoded and packed here, so that all scores compare.
        """
        text = query_texts([query])[0]
        read, unread = self._encoder.query_spans(text)
        if not candidates or not any(end > start for start, end in read + unread):
            return Scores(np.zeros(len(candidates), np.float32))
        lexical = self._statistics(candidates)
        terms = _token_terms(text, read + unread, lexical)
        weights = _weights(terms, lexical)
        packed = self._packed(candidates)
        rows = self._rows(text)
        if self._head and not unread:
            values = self._head.score(_features(rows, packed, weights))
        else:
            literal = _literal(terms[len(read) :], candidates, lexical)
            values = np.hstack([max_similarities(rows, packed), literal]) @ weights
        return Scores(values, self._cut(candidates, packed), self._cut_query(text, len(read)))

    def features(self, query: str, candidates: Sequence[Candidate]) -> Matrix:
        """What a head reads of each, shape (candidates, `FEATURES`): to learn one from."""
        text = query_texts([query])[0]
        lexical = self._statistics(candidates)
        weights = _weights(_token_terms(text, self._encoder.query_spans(text)[0], lexical), lexical)
        return _features(self._rows(text), self._packed(candidates), weights)

    def _rows(self, text: str) -> Matrix:
        return _tokens(self._encoder.encode_queries([text], _TOKENS))[0]

    def _cut_query(self, text: str, read: int) -> tuple[str, ...]:
        """What there is to say where the encoder does not read the whole query, as no leg with it does."""
        if read < _NEAR * self._longest:
            return ()
        [total] = self._encoder.token_counts([text])
        if total <= read:
            return ()
        return (f"late interaction read the first {read} of {total} tokens of the query",)

    def _cut(self, candidates: Sequence[Candidate], packed: Sequence[bytes]) -> dict[int, Read]:
        """Passages of which the encoder read less than all: only those as long as it reads can be such."""
        counts = [token_count(data) for data in packed]
        least = _NEAR * self._longest
        full = [n for n, count in enumerate(counts) if count >= least]
        totals = self._encoder.token_counts([text_view(candidates[n]).text for n in full])
        both = zip(full, totals, strict=True)
        return {n: Read(counts[n], total) for n, total in both if total > counts[n]}

    @cached_property
    def _longest(self) -> float:
        told = self._encoder.fingerprint.get("max_length")
        return told if isinstance(told, int) else math.inf

    def _statistics(self, candidates: Sequence[Candidate]) -> Bm25Encoder:
        if self._lexical and self._lexical.statistics.documents:
            return self._lexical
        local = Bm25Encoder(Bm25Leg())
        local.learn([text_view(candidate) for candidate in candidates])
        return local

    def _packed(self, candidates: Sequence[Candidate]) -> list[bytes]:
        bare = [n for n, candidate in enumerate(candidates) if candidate.tokens is None]
        packed = [candidate.tokens or b"" for candidate in candidates]
        if bare:
            views = [text_view(candidates[n]) for n in bare]
            matrices = _tokens(self._encoder.encode_documents(views, _TOKENS))
            for n, matrix in zip(bare, matrices, strict=True):
                packed[n] = pack_tokens(matrix)
        return packed


def _features(rows: Matrix, packed: Sequence[bytes], weights: FloatArray) -> Matrix:
    return np.stack([match_features(similar, weights) for similar in similarities(rows, packed)])


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
        has = set(lexical.terms(text_view(candidate).text))
        for n, some in enumerate(terms):
            total = sum(map(lexical.idf, some))
            row[n] = sum(lexical.idf(term) for term in some if term in has) / total if total else 0.0
    return matched
