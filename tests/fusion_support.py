"""What tests of adaptive fusion use: passages of known words, and encoders of which everything is known."""

import hashlib
from functools import cache

import numpy as np

from rag_plugins import Config
from rag_plugins.config import Bm25Leg, DenseLeg
from rag_plugins.models.protocols import DENSE, Encoding
from rag_plugins.vectors import normalise

DIM = 48
LEGS = (DenseLeg(), Bm25Leg())

_SYLLABLES = "ba do fi ku la me no pi ru sa te vo".split()
WORDS = [f"{a}{b}{c}" for a in _SYLLABLES for b in _SYLLABLES for c in _SYLLABLES[:4]]


def adaptive(*legs, **settings):
    return Config(legs=legs or LEGS, rerank=(), **settings)


def texts(count, start=0):
    """Four sentences of words on the passage's own subject, the same ones every time."""
    return {str(n): _text(n) for n in range(start, start + count)}


def _text(n):
    random = np.random.default_rng(n)
    subject = random.choice(WORDS, 14, replace=False)
    sentences = [" ".join(random.choice(subject, 7, replace=False)) for _ in range(4)]
    return " ".join(f"{sentence.capitalize()}." for sentence in sentences)


def fill(index, count, start=0):
    return index.add(index.passage(text, caller_id=name) for name, text in texts(count, start).items())


@cache
def _direction(name):
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8])
    return np.random.default_rng(seed).standard_normal(DIM)


class Meaning:
    """A text is the mean of its words' directions. `asked` has the queries of each call."""

    produces = DENSE
    dim = DIM
    matryoshka = ()
    fingerprint = {"model": "meaning"}

    def __init__(self):
        self.asked, self.broken = [], False

    def encode_queries(self, queries, want=DENSE):
        if self.broken:
            raise RuntimeError("no model today")
        self.asked.append(list(queries))
        return self._encode(queries)

    def encode_documents(self, views, want=DENSE):
        return self._encode([view.text for view in views])

    def _encode(self, texts):
        return Encoding(dense=normalise(np.stack([self.vector(text) for text in texts]).astype(np.float32)))

    def vector(self, text):
        return sum(_direction(word) for word in text.lower().replace(".", " ").split())


class Noise(Meaning):
    """A text is a direction of its own: nothing is near anything."""

    fingerprint = {"model": "noise"}

    def vector(self, text):
        return _direction(text)


class Blurred(Meaning):
    """Half of a text's direction is its words', half its own."""

    fingerprint = {"model": "blurred"}

    def vector(self, text):
        return super().vector(text) + 1.2 * len(text.split()) ** 0.5 * _direction(text)


class HalfRead(Meaning):
    """A letter is a token; CJK characters are unknown to it, and it says so."""

    fingerprint = {"model": "half read"}

    def query_spans(self, query):
        spans = ([], [])
        for n, char in enumerate(query):
            if not char.isspace():
                spans[char >= "\u3000"].append((n, n + 1))
        return spans

    def unread(self, query):
        read, unread = map(len, self.query_spans(query))
        return unread / (read + unread)

    def token_counts(self, texts):
        return [len(self.query_spans(text)[0]) for text in texts]


def stages(hit, kind):
    """By leg its stage of this kind."""
    return {stage.stage: stage for stage in hit.trace if stage.kind == kind}


def ids(hits):
    return [hit.passage.caller_id for hit in hits]
