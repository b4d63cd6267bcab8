"""An encoder of which everything is known: a text is the mean of its words' vectors."""

from itertools import product

import numpy as np

from rag_plugins.funnel import Rotation
from rag_plugins.models.protocols import DENSE, Encoding
from rag_plugins.models.shipped import ShippedRotation
from rag_plugins.types import EmbedText, Passage, passage_id
from rag_plugins.vectors import normalise

WORDS = ["".join(letters) for letters in product("bdfklmnrst", "aeiou", "gpvz", "aeo")]


class WordEncoder:
    """The words' numbers fall off in energy; a rotation hides it, unless it was trained for prefixes."""

    produces = DENSE

    def __init__(self, matryoshka=(), dim=384):
        random = np.random.default_rng(0)
        vectors = random.standard_normal((len(WORDS), dim)) * np.arange(1, dim + 1) ** -0.7
        axes, _ = np.linalg.qr(random.standard_normal((dim, dim)))
        self.table = dict(zip(WORDS, vectors if matryoshka else vectors @ axes, strict=True))
        self.dim, self.matryoshka = dim, matryoshka
        self.asked = []  # How many queries each call had.

    @property
    def fingerprint(self):
        return {"model": "words", "dim": self.dim}

    def encode_queries(self, queries, want=DENSE):
        self.asked.append(len(queries))
        return self._encode(queries)

    def encode_documents(self, views, want=DENSE):
        return self._encode([view.text for view in views])

    def _encode(self, texts):
        means = [
            np.mean([self.table[word.strip(".").lower()] for word in text.split()], axis=0) for text in texts
        ]
        return Encoding(dense=normalise(np.array(means, np.float32)))


class RotatedEncoder(WordEncoder):
    """One that brings a rotation along: that which hides how its numbers' energy falls off, undone."""

    def __init__(self, dim=384):
        super().__init__(dim=dim)
        columns = Rotation.fit(np.array(list(self.table.values()), np.float32)).columns
        self.rotation = ShippedRotation("words-rotation 0123", Rotation(columns))


def passages(count, start=0, tenant=""):
    """Passages of three sentences of random words, always the same ones."""
    return [_passage(n, tenant) for n in range(start, start + count)]


def _passage(n, tenant):
    words = np.random.default_rng(n).choice(WORDS, (3, 6))
    text = " ".join(f"{' '.join(sentence).capitalize()}." for sentence in words)
    return Passage(
        passage_id(tenant, caller_id=str(n)), f"doc{n}", (EmbedText(text),), text, {}, None, str(n)
    )
