"""Sentences of a collection, in place of the questions that nobody has asked yet."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from rag_plugins.ingest.sentences import count_words, sentences
from rag_plugins.store.milvus import MilvusStore
from rag_plugins.types import embed_text

__all__ = ["sample_sentences", "sentence"]

_WORDS = 4
"""The shortest sentence that is drawn, where its text has one."""

_CHARACTERS = 300
"""What is kept of a sentence: tables and bad OCR have some without an end."""


def sample_sentences(store: MilvusStore, ids: Sequence[str], count: int) -> list[str]:
    """Sentences of what retrieval reads, one each of so many of these passages; the same ones every time."""
    random = Random(0)
    views = store.views(random.sample(list(ids), min(count, len(ids))))
    texts = [embed_text(of_passage) for of_passage in views.values()]
    return [sentence(text.text, random) for text in texts if text and text.text.strip()]


def sentence(text: str, random: Random) -> str:
    """Any sentence of a text that is more than white space."""
    parts = [text[start:end] for start, end in sentences(text)]
    return random.choice([part for part in parts if count_words(part) >= _WORDS] or parts)[:_CHARACTERS]
