"""Passages, questions and vectors made from a seed: English in its shape, so that no data are needed.

Words come by Zipf's law from a common vocabulary and from the few hundred words of the passage's topic, with
English function words between them, in sentences.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from types import MappingProxyType
from zlib import crc32

import numpy as np

from benchmarks.lexical import made_words
from rag_plugins.models.protocols import DENSE, Encoding, Representation
from rag_plugins.types import JsonValue, View, embed_text
from rag_plugins.vectors import FloatArray, Matrix, normalise

__all__ = ["Question", "WordVectors", "made_metadata", "made_questions", "made_texts"]

_FUNCTION_WORDS = (
    "the of and to in a is that for it as was with be by on not he his but at are this have from or had an "
    "they which one were all their there been has when who will more no if out so said what up its about "
    "into than them can only other new some could time these two may then do first any my now such like our "
    "over how does where"
).split()

_FUNCTION_SHARE = 0.45
"""Of the words of English prose, about."""

_CONTENT_WORDS = 60_000
_TOPICS, _TOPIC_WORDS = 1000, 300
_TOPIC_SHARE = 0.5
"""Of a passage's content words so many are its topic's own."""

_FLATTER = 10
"""Ranks left out at the top, so that no word of a topic makes up most of its passages."""

_BLOCK = 1000
"""Passages with a generator of their own: the first ones are the same whatever the count."""

_LENGTHS = (120, 161)
_SENTENCES = (8, 21)
"""Words in a passage and in a sentence: at least, and one more than at most."""

_OPENINGS = ("what is the", "how does the", "which of the", "when was the", "who has the", "where is the")
_KINDS = ("manual", "report", "letter", "notice")
_YEARS = (2000, 2024)
_WORD = re.compile(r"[a-z]+")


@dataclass(frozen=True, slots=True)
class Question:
    """Words of one passage, its number, and the metadata that a filter asks for: those of that passage."""

    text: str
    source: int
    kind: str
    since: int


def made_texts(count: int, seed: int) -> list[str]:
    """So many passages of 120 to 160 words; the first ones are the same whatever the count."""
    content = made_words(_CONTENT_WORDS, random.Random(seed))
    words = [*_FUNCTION_WORDS, *content]
    topics = np.random.default_rng(seed).integers(0, len(content), (_TOPICS, _TOPIC_WORDS))
    blocks = (
        _block(words, topics, np.random.default_rng((seed, block))) for block in range(-(-count // _BLOCK))
    )
    return [text for block in blocks for text in block][:count]


def _block(words: Sequence[str], topics: np.ndarray, draw: np.random.Generator) -> list[str]:
    lengths = draw.integers(*_LENGTHS, _BLOCK)
    rows = np.repeat(draw.integers(0, len(topics), _BLOCK), lengths)
    size = len(rows)
    functions = len(_FUNCTION_WORDS)
    general = functions + _zipf(len(words) - functions, size, draw)
    special = functions + topics[rows, _zipf(topics.shape[1], size, draw, _FLATTER)]
    chosen = np.where(draw.random(size) < _TOPIC_SHARE, special, general)
    chosen = np.where(draw.random(size) < _FUNCTION_SHARE, _zipf(functions, size, draw), chosen).tolist()
    ends = np.cumsum(lengths).tolist()
    return [
        _sentences([words[n] for n in chosen[end - length : end]], draw)
        for end, length in zip(ends, lengths.tolist(), strict=True)
    ]


def _zipf(words: int, size: int, draw: np.random.Generator, flatter: int = 0) -> np.ndarray:
    shares = np.cumsum(1.0 / np.arange(1 + flatter, words + flatter + 1))
    return np.searchsorted(shares, draw.random(size) * shares[-1])


def _sentences(words: Sequence[str], draw: np.random.Generator) -> str:
    sentences: list[str] = []
    start = 0
    while start < len(words):
        end = start + int(draw.integers(*_SENTENCES))
        sentences.append(" ".join(words[start:end]).capitalize() + ".")
        start = end
    return " ".join(sentences)


def made_metadata(count: int, seed: int) -> list[dict[str, JsonValue]]:
    """A kind and a year for each passage, which have nothing to do with its text."""
    draw = random.Random(seed)
    return [{"kind": draw.choice(_KINDS), "year": draw.randrange(*_YEARS)} for _ in range(count)]


def made_questions(
    texts: Sequence[str], metadata: Sequence[dict[str, JsonValue]], count: int, seed: int
) -> list[Question]:
    """Questions of 6 to 10 words, most of them words of one passage, and the filters that it passes."""
    draw = random.Random(seed)
    middle = sum(_YEARS) // 2
    questions: list[Question] = []
    for source in (draw.randrange(len(texts)) for _ in range(count)):
        content = sorted(set(_WORD.findall(texts[source].lower())).difference(_FUNCTION_WORDS))
        words = draw.sample(content, draw.randint(3, 7))
        about = metadata[source]
        since = min(int(str(about["year"])), middle)
        text = f"{draw.choice(_OPENINGS)} {' '.join(words)}?"
        questions.append(Question(text, source, str(about["kind"]), since))
    return questions


class WordVectors:
    """A dense encoder without a model: a text is the sum of vectors that are made from its words' spelling.

    Function words count little. Energy falls over the dimensions of a hidden rotation, so that rotated
    prefixes find what those of all-MiniLM-L6-v2 do: see `_DECAY`. Queries are remembered.
    """

    produces = frozenset({Representation.DENSE})
    dim = 384
    matryoshka: tuple[int, ...] = ()
    fingerprint: Mapping[str, JsonValue] = MappingProxyType({"model": "made word vectors", "dim": dim})

    def __init__(self) -> None:
        """Make nothing yet."""
        self._word = lru_cache(maxsize=None)(self._made)
        self._query = lru_cache(maxsize=None)(self.vector)

    def encode_queries(self, queries: Sequence[str], want: frozenset[Representation] = DENSE) -> Encoding:
        """See `Encoder`."""
        return Encoding(dense=np.stack([self._query(query) for query in queries]))

    def encode_documents(self, views: Sequence[View], want: frozenset[Representation] = DENSE) -> Encoding:
        """See `Encoder`."""
        texts = [text.text for view in views if (text := embed_text([view]))]
        return Encoding(dense=np.stack([self.vector(text) for text in texts]))

    def vector(self, text: str) -> FloatArray:
        """The unit vector of one text, (dim,)."""
        words = _WORD.findall(text.lower()) or [""]
        return normalise(np.sum([self._word(word) for word in words], axis=0, dtype=np.float32))

    def _made(self, word: str) -> FloatArray:
        drawn = np.random.default_rng(crc32(word.encode())).standard_normal(self.dim)
        weight = _FUNCTION_WEIGHT if word in _FUNCTION_WORDS else 1.0
        return (weight * (drawn * self._energy) @ self._hidden).astype(np.float32)

    @cached_property
    def _energy(self) -> np.ndarray:
        return np.arange(1, self.dim + 1) ** -_DECAY

    @cached_property
    def _hidden(self) -> Matrix:
        return np.linalg.qr(np.random.default_rng(0).standard_normal((self.dim, self.dim)))[0]


_FUNCTION_WEIGHT = 0.1

_DECAY = 0.46
"""Energy of dimension n: n to the power of minus this. Of 7,000 passages, rotated prefixes of 24 / 48 / 96 /
192 numbers find .45 / .61 / .74 / .86 of the best ten; those of all-MiniLM-L6-v2 .43 / .61 / .77 / .91."""
