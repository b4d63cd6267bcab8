"""Pages to passages: whole sentences up to a size, both sides set here, boxes carried along."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import replace

from rag_plugins.config import ChunkingConfig
from rag_plugins.ingest.documents import SourceFile
from rag_plugins.ingest.pages import Page
from rag_plugins.ingest.sentences import ATOM, Span, count_words, sentences
from rag_plugins.ingest.text import SPACELESS
from rag_plugins.types import EmbedText, Passage, Provenance, Word, passage_id

__all__ = ["chunk", "chunk_spans", "retrieval_text"]

_HYPHENATED = re.compile(r"(?<=[^\W\d_])[-\u2010\u00ad]\s*\n\s*(?=[a-zà-öø-ÿ])")
_INVISIBLE = re.compile("[\u00ad\u200b\u2060]")
_BROKEN = re.compile(rf"(?<=[{SPACELESS}])\s+(?=[{SPACELESS}])")
_LIGATURES = {code: unicodedata.normalize("NFKC", chr(code)) for code in range(0xFB00, 0xFB07)}


def chunk(
    page: Page,
    file: SourceFile,
    config: ChunkingConfig,
    *,
    tenant: str = "",
    page_image: str | None = None,
) -> list[Passage]:
    """Passages that together hold every word of the page; `llm_text` is a slice of the page's text.

    `page_image` is the asset id of `page.image`. A blank page gives none.
    """
    return [
        _passage(page, span, file, tenant=tenant, page_image=page_image)
        for span in chunk_spans(page.text, config)
    ]


def chunk_spans(text: str, config: ChunkingConfig) -> list[Span]:
    """Where the passages lie in the text."""
    units = [part for sentence in sentences(text) for part in _cut(text, sentence, config.size)]
    sizes = [count_words(text[start:end]) for start, end in units]
    return [(units[first][0], units[last][1]) for first, last in _packed(sizes, config)]


def _packed(sizes: Sequence[int], config: ChunkingConfig) -> Iterator[Span]:
    """First and last unit of each passage; it begins with what the overlap holds of the one before."""
    first, total = 0, 0
    for index, size in enumerate(sizes):
        if total + size > config.size:
            yield first, index - 1
            first, total = index, 0
            room = min(config.overlap, config.size - size)
            while first and total + sizes[first - 1] <= room:
                first -= 1
                total += sizes[first]
        total += size
    if sizes:
        yield first, len(sizes) - 1


def _cut(text: str, span: Span, size: int) -> Iterator[Span]:
    """A sentence that is too long, at line ends if its lines are short enough, else at words."""
    start, end = span
    if count_words(text[start:end]) <= size:
        yield span
        return
    for line in re.compile(r"\S[^\n]*").finditer(text, start, end):
        atoms = list(ATOM.finditer(text, *line.span()))
        for at in range(0, len(atoms), size):
            group = atoms[at : at + size]
            yield group[0].start(), group[-1].end()


def _passage(page: Page, span: Span, file: SourceFile, *, tenant: str, page_image: str | None) -> Passage:
    start, end = span
    text = page.text[start:end]
    return Passage(
        id=passage_id(tenant, source=file.doc_id, position=f"{page.number}:{start}", content=text),
        doc_id=file.doc_id,
        views=(EmbedText(retrieval_text(text)),),
        llm_text=text,
        metadata={"source": file.source, "page": page.number, "origin": page.origin},
        provenance=Provenance(file.source, page.number, _words(page.words, start, end), page_image),
    )


def _words(words: Sequence[Word], start: int, end: int) -> tuple[Word, ...]:
    """The words of this part, with spans into it."""
    return tuple(
        replace(word, start=max(word.start, start) - start, end=min(word.end, end) - start)
        for word in words
        if word.start < end and word.end > start
    )


def retrieval_text(text: str) -> str:
    """What retrieval reads of this text: hyphenated words joined, one space for any white space, NFC."""
    text = _INVISIBLE.sub("", _HYPHENATED.sub("", text)).translate(_LIGATURES)
    return _BROKEN.sub("", unicodedata.normalize("NFC", " ".join(text.split())))
