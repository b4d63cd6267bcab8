"""Queries with a known answer, made of a collection's own passages, in place of those that nobody has judged.

A sentence asks for the passage that it stood in, once it has been cut out of it (the inverse cloze task:
Lee, Chang and Toutanova 2019): what is left has to be found by what it is about. Some of a sentence's words
ask for the passage as it is: what was said literally has to be found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from rag_plugins.ingest.sentences import ATOM, count_words, sentences

__all__ = ["KINDS", "KnownItem", "known_items"]

KINDS = ("sentence", "words", "literal")
"""How queries are made; the last alone of passages with one sentence."""

_WORDS = 4
"""The shortest sentence that is asked with, where its text has a longer one."""

_CHARACTERS = 300
"""What is kept of a sentence: tables and bad OCR have some without an end."""

_HALF = 0.5
"""The share of a sentence's words that a query keeps, where nobody knows how long queries are."""


@dataclass(frozen=True, slots=True)
class KnownItem:
    """A query and the passage it asks for; `rest` is the passage's text without what the query was made of.

    None where the passage stays as it is. `kind` is how the query was made.
    """

    id: str
    query: str
    kind: str
    rest: str | None = None


def known_items(texts: Mapping[str, str], lengths: Sequence[int] = ()) -> list[KnownItem]:
    """Up to three of each text, by passage id; the same ones every time.

    `lengths`, of real queries in words, are those that queries of some words are cut to.
    """
    random = Random(0)
    return [item for id, text in texts.items() if text.strip() for item in _items(id, text, lengths, random)]


def _items(id: str, text: str, lengths: Sequence[int], random: Random) -> Iterator[KnownItem]:
    spans = sentences(text)
    long = [span for span in spans if count_words(text[slice(*span)]) >= _WORDS] or spans
    start, end = random.choice(long)
    sentence = text[start:end][:_CHARACTERS]
    asked = _some_words(sentence, random.choice(lengths) if lengths else None, random)
    rest = f"{text[:start]} {text[end:]}".strip()
    if rest:
        yield KnownItem(id, sentence, "sentence", rest)
        yield KnownItem(id, asked, "words", rest)
    yield KnownItem(id, asked, "literal")


def _some_words(sentence: str, count: int | None, random: Random) -> str:
    """Some of the words, in order; where there is no space between them, some that follow one another."""
    words = ATOM.findall(sentence)
    count = max(1, min(count or round(_HALF * len(words)), len(words)))
    if any(char.isspace() for char in sentence.strip()):
        return " ".join(words[n] for n in sorted(random.sample(range(len(words)), count)))
    first = random.randrange(len(words) - count + 1)
    return "".join(words[first : first + count])
