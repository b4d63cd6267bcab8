"""Answers without a language model: the sentences that fit a question best, as they stand."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from rag_plugins.chat.sources import Source
from rag_plugins.faces.legs import dense_leg, document_vectors, query_vectors
from rag_plugins.index import RagIndex
from rag_plugins.ingest.sentences import count_words, sentences
from rag_plugins.models.bm25 import LENGTH, Bm25Encoder
from rag_plugins.models.protocols import SPARSE
from rag_plugins.types import EmbedText
from rag_plugins.vectors import FloatArray, SparseVector

__all__ = ["Quote", "best_quotes"]

_MOST = 3
_AS_GOOD = 0.7
"""Of the best sentence's score, what others need to be quoted beside it."""

_LEAST_WORDS = 4
_FULL = 0.8
"""Of a line's width; where the next word would have stood within it, the line was ended on purpose."""

_DOUBT = re.compile(r"\[\?|\?\]")
"""What encloses doubtful words in a context; their question marks end no sentence."""

_READ = 80
"""Sentences that are compared, those of the best sources first."""


@dataclass(frozen=True, slots=True)
class Quote:
    """A sentence of a source, and how well it fits, 0 to 2."""

    number: int
    text: str
    score: float


def best_quotes(question: str, sources: Sequence[Source], index: RagIndex) -> list[Quote]:
    """Up to three sentences, in the order of their sources.

    A sentence's score is the share of the question's terms that it has, by their weight (idf), and its cosine
    with the question, as far as the collection has legs of these kinds.
    """
    found = [*_sentences(sources)][:_READ]
    if not found:
        return []
    texts = [text for _, text in found]
    scores = _coverage(question, texts, index) + _cosines(question, texts, index)
    least = _AS_GOOD * float(scores.max())
    best = [n for n in np.argsort(-scores, kind="stable")[:_MOST].tolist() if scores[n] >= least]
    return [Quote(found[n][0], found[n][1], float(scores[n])) for n in sorted(best)]


def _sentences(sources: Sequence[Source]) -> Iterator[tuple[int, str]]:
    for source in sources:
        text = _DOUBT.sub("", source.text)
        width = _width(text)
        found = [part for start, end in sentences(text) for part in unwrapped(text, start, end, width)]
        for part in dict.fromkeys(found):
            if count_words(part) >= _LEAST_WORDS:
                yield source.number, part


def unwrapped(text: str, start: int, end: int, width: float) -> Iterator[str]:
    """A sentence's lines joined, but where one ends early: what follows then stands alone, as a row does.

    `width` is that of a full line, in characters.
    """
    first = start
    for found in re.finditer(r"\n\s*(\S{1,12})", text[start:end]):
        at = start + found.start()
        line = at - (text.rfind("\n", 0, at) + 1)
        if line + 1 + len(found[1]) <= _FULL * width:
            yield " ".join(text[first:at].split())
            first = at
    yield " ".join(text[first:end].split())


def _width(text: str) -> float:
    """Of nine lines in ten that are not blank, in characters."""
    lengths = [len(line) for line in text.split("\n") if line.strip()]
    return float(np.quantile(lengths, 0.9)) if lengths else 0.0


def _coverage(question: str, texts: Sequence[str], index: RagIndex) -> FloatArray:
    encoder = next((leg.encoder for leg in index.legs.values() if isinstance(leg.encoder, Bm25Encoder)), None)
    if encoder is None:
        return np.zeros(len(texts), np.float32)
    (asked,) = cast("tuple[SparseVector]", encoder.encode_queries([question], SPARSE).sparse)
    weights = {term: weight for term, weight in asked.as_dict().items() if term != LENGTH}
    whole = sum(weights.values())
    read = encoder.encode_documents([EmbedText(text) for text in texts], SPARSE).sparse or ()
    shares = [sum(weights.get(int(term), 0.0) for term in vector.indices) for vector in read]
    return np.array(shares, np.float32) / (whole or 1.0)


def _cosines(question: str, texts: Sequence[str], index: RagIndex) -> FloatArray:
    leg = dense_leg(index)
    if leg is None:
        return np.zeros(len(texts), np.float32)
    return document_vectors(leg, texts) @ query_vectors(leg, [question])[0]
