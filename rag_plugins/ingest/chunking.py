"""Pages to passages: whole sentences up to a size, both sides set here, boxes carried along."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rag_plugins.config import ChunkingConfig
from rag_plugins.ingest.documents import SourceFile
from rag_plugins.ingest.pages import Page
from rag_plugins.ingest.policy import ViewPolicy
from rag_plugins.ingest.sentences import ATOM, Span, count_words, sentences
from rag_plugins.ingest.text import retrieval_text
from rag_plugins.ingest.views import PageViews, Picture, pictures
from rag_plugins.types import JsonValue, Passage, Provenance, Word, passage_id

__all__ = ["captioned", "chunk", "chunk_spans", "retrieval_text"]

_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
_AUTO = ViewPolicy()


def chunk(
    page: Page,
    file: SourceFile,
    config: ChunkingConfig,
    policy: ViewPolicy = _AUTO,
    *,
    tenant: str = "",
    page_image: str | None = None,
) -> list[Passage]:
    """Passages that together hold every word of the page; `llm_text` is a slice of the page's text.

    `page_image` is the asset id of `page.image`. Where a leg reads images, a page without text is a passage
    too, and so is each of `page.figures`; else a blank page gives none.
    """
    maker = _Maker(page, file, PageViews(page, policy, page_image), tenant, page_image)
    spans = chunk_spans(page.text, config)
    return [*map(maker.passage, spans), *map(maker.picture, pictures(page, policy, page_image))]


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


def captioned(picture: Picture, source: str, number: int) -> tuple[str, tuple[Word, ...]]:
    """What the LLM reads of a picture on this page, and its words there."""
    head = f"[{source}, page {number}: {picture.says}]"
    shift = len(head) + 1
    words = tuple(replace(word, start=word.start + shift, end=word.end + shift) for word in picture.words)
    return (f"{head}\n{picture.text}" if picture.text else head), words


@dataclass(frozen=True, slots=True)
class _Maker:
    """Makes the passages of one page."""

    page: Page
    file: SourceFile
    views: PageViews
    tenant: str
    page_image: str | None

    def passage(self, span: Span) -> Passage:
        start, end = span
        text = self.page.text[start:end]
        words = _words(self.page.words, start, end)
        return Passage(
            id=self._id(f"{start}", text),
            doc_id=self.file.doc_id,
            views=self.views.of(span),
            llm_text=text,
            metadata=self._metadata(self.page.origin) | self._headed(start),
            provenance=Provenance(self.file.source, self.page.number, words, self.page_image, start),
        )

    def picture(self, picture: Picture) -> Passage:
        text, words = captioned(picture, self.file.source, self.page.number)
        return Passage(
            id=self._id(f"{picture.kind}:{picture.view.box}", picture.view.asset),
            doc_id=self.file.doc_id,
            views=(picture.view,),
            llm_text=text,
            metadata=self._metadata(picture.kind),
            provenance=Provenance(self.file.source, self.page.number, words, self.page_image),
        )

    def _id(self, place: str, content: str) -> str:
        position = f"{self.page.number}:{place}"
        return passage_id(self.tenant, source=self.file.doc_id, position=position, content=content)

    def _metadata(self, origin: str) -> dict[str, JsonValue]:
        return {"source": self.file.source, "page": self.page.number, "origin": origin}

    def _headed(self, start: int) -> dict[str, JsonValue]:
        """The document's title, and the last heading above the passage or the one it begins with."""
        if self.page.title is None:
            return {}
        end = self.page.text.find("\n", start)
        above = _HEADING.findall(self.page.text, 0, len(self.page.text) if end < 0 else end)
        known = {"title": self.page.title, "heading": above[-1] if above else ""}
        return {key: value for key, value in known.items() if value}


def _words(words: Sequence[Word], start: int, end: int) -> tuple[Word, ...]:
    """The words of this part, with spans into it."""
    return tuple(
        replace(word, start=max(word.start, start) - start, end=min(word.end, end) - start)
        for word in words
        if word.start < end and word.end > start
    )
