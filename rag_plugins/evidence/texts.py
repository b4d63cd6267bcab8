"""A passage's text as people read it: where it is from, how it came to be, which words are in doubt."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rag_plugins.types import Passage

__all__ = ["DOUBT", "Run", "lines", "origin", "runs", "where"]

DOUBT = 0.6
"""Words that the OCR is less sure of than this are marked."""


@dataclass(frozen=True, slots=True)
class Run:
    """A stretch of text; `confidence` is given for a doubtful word alone."""

    text: str
    confidence: float | None = None


def where(passage: Passage) -> str:
    """File and page, as one would cite it."""
    provenance = passage.provenance
    if provenance is None:
        return passage.doc_id
    page = "" if provenance.page is None else f", page {provenance.page}"
    return f"{provenance.source}{page}"


def origin(passage: Passage) -> str:
    """How the text came to be: recognised and how surely, a file's own text layer, or plain text."""
    provenance = passage.provenance
    if provenance is None or not provenance.words:
        return "plain text"
    sure = provenance.confidence
    return "the file's own text layer" if sure is None else f"OCR, mean confidence {100 * sure:.0f} %"


def runs(passage: Passage) -> Iterator[Run]:
    """The LLM's text in order and in full, cut at the words that the OCR doubts."""
    text, done = passage.llm_text, 0
    words = passage.provenance.words if passage.provenance else ()
    for word in sorted(words, key=lambda word: word.start):
        if word.confidence is None or word.confidence >= DOUBT or not done <= word.start < word.end:
            continue
        if word.start > done:
            yield Run(text[done : word.start])
        yield Run(text[word.start : word.end], word.confidence)
        done = word.end
    if done < len(text):
        yield Run(text[done:])


def lines(passage: Passage) -> Iterator[tuple[Run, ...]]:
    """The same runs, line by line, without the line ends."""
    line: list[Run] = []
    for run in runs(passage):
        first, *rest = run.text.split("\n")
        line.append(Run(first, run.confidence))
        for text in rest:
            yield tuple(line)
            line = [Run(text, run.confidence)]
    yield tuple(line)
