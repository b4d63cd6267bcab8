"""Small rows for the tests of the store."""

import numpy as np

from rag_plugins.store.schema import Row, VectorField
from rag_plugins.types import Box, EmbedText, Passage, Provenance, Word, passage_id
from rag_plugins.vectors import SparseVector

DIM = 4
FIELDS = (VectorField("dense", "dense", DIM), VectorField("bm25", "sparse"))
FINGERPRINT = {"dense": {"model": "tiny", "dim": DIM}, "bm25": {"cjk": "bigrams"}}


def name(number, tenant=""):
    return passage_id(tenant, content=str(number))


def unit(*numbers):
    vector = np.zeros(DIM, np.float32)
    vector[: len(numbers)] = numbers
    return vector / np.linalg.norm(vector)


def passage(number, *, tenant="", doc_id="a.pdf", text="text", **other):
    return Passage(name(number, tenant), doc_id, (EmbedText(f"view {number}"),), text, **other)


def row(number, *, dense=None, terms=None, tokens=None, **other):
    vectors = {
        "dense": unit(1.0) if dense is None else dense,
        "bm25": SparseVector.of({1: 1.0} if terms is None else terms),
    }
    return Row(passage(number, **other), vectors, {} if tokens is None else {"dense": tokens})


def without(number, *fields, **other):
    """A row without a vector in these fields."""
    whole = row(number, **other)
    return Row(whole.passage, {key: value for key, value in whole.vectors.items() if key not in fields})


def retold(number, text, sure, **other):
    """A passage whose one word was recognised so surely."""
    words = (Word(0, len(text), 0, Box(0.1, 0.2, 0.3, 0.4), sure),)
    return passage(number, text=text, provenance=Provenance("scan.png", 1, words, "d" * 64, 7), **other)


def arguments(**changes):
    return {"fields": FIELDS, "fingerprint": FINGERPRINT, "keep_tokens": ["dense"], **changes}
