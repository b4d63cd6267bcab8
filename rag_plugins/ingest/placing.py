"""The words of a page that was recognised anew, given to the passages that were made of it before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from rag_plugins.ingest.alignment import TURNS, nearest
from rag_plugins.ingest.chunking import captioned
from rag_plugins.ingest.pages import Page
from rag_plugins.ingest.text import Lines, Piece, assemble
from rag_plugins.ingest.views import figure
from rag_plugins.pictures import page_image
from rag_plugins.types import Box, Passage, Provenance, Word, embed_image
from rag_plugins.vectors import Matrix

__all__ = ["placed", "quarters"]

_RUN = 0.8
"""A passage that owns this share of a run of the page's words is the whole run: a few strangers in it read
better than a text with holes."""

_SIDE = 64
"""Pixels of the thumbnails that show how a page was turned."""


def placed(page: Page, passages: Sequence[Passage], image: str | None, turn: int = 0) -> list[Passage]:
    """The passages, with what was recognised where they stand; ids, views and order are as they were.

    A word goes to all passages that own the word nearest to it of those recognised before, so that every word
    is in one at least. A passage that gets none keeps its text. `image` is the asset of the page's image,
    which is the earlier one turned clockwise by so many quarters.
    """
    figures = {n for n, passage in enumerate(passages) if passage.metadata.get("origin") == "figure"}
    texts = [n for n in range(len(passages)) if n not in figures] or list(range(len(passages)))
    owned = dict(zip(texts, _owned(page, [passages[n] for n in texts], turn), strict=True))
    return [
        _retold(page, passage, owned[n], image) if n in owned else _figure(page, passage, image, turn)
        for n, passage in enumerate(passages)
    ]


def quarters(before: bytes, after: bytes) -> int:
    """By how many quarters an image was turned clockwise to become another; 0 where one does not decode."""
    old, new = _thumbnail(before), _thumbnail(after)
    if old is None or new is None:
        return 0
    ways = [float(np.abs(np.rot90(old, -turn) - new).mean()) for turn in range(len(TURNS))]
    return int(np.argmin(ways))


def _owned(page: Page, passages: Sequence[Passage], turn: int) -> list[list[int]]:
    """For each passage which of the page's words are its own."""
    everything = list(range(len(page.words)))
    owners: dict[Box, set[int]] = {}
    known: list[Word] = []
    for n, passage in enumerate(passages):
        for word in passage.provenance.words if passage.provenance else ():
            if word.box not in owners:
                known.append(word)
            owners.setdefault(word.box, set()).add(n)
    if len(passages) == 1 or not known or not everything:
        return [everything, *([] for _ in passages[1:])]
    owned: list[list[int]] = [[] for _ in passages]
    for index, at in enumerate(nearest(_before(page.words, turn), known)):
        for n in owners[known[at].box]:
            owned[n].append(index)
    return owned


def _before(words: Sequence[Word], turn: int) -> Matrix:
    """The centres of words (n, 2) on the page as it lay before."""
    boxes = [word.box for word in words]
    centres = np.array([[(box.left + box.right) / 2, (box.top + box.bottom) / 2, 1.0] for box in boxes])
    return (centres @ np.array(TURNS[turn]).T).astype(np.float32)


def _retold(page: Page, passage: Passage, indices: Sequence[int], image: str | None) -> Passage:
    if not indices:
        return passage
    first, last = indices[0], indices[-1]
    if len(indices) >= _RUN * (last - first + 1):
        run = page.words[first : last + 1]
        start = run[0].start
        text, words = page.text[start : run[-1].end], tuple(_moved(word, -start) for word in run)
    else:
        text, words = assemble(_paragraphs(page, [page.words[n] for n in indices]))
        start = None
    return replace(
        passage,
        llm_text=text,
        metadata={**passage.metadata, "origin": "ocr"},
        provenance=_provenance(passage, words, image, start),
    )


def _figure(page: Page, passage: Passage, image: str | None, turn: int) -> Passage:
    """A figure stands where it stood; what is written in it is read anew."""
    view = embed_image(passage.views)
    if view is None or view.box is None:
        return passage
    picture = figure(page, _turned(view.box, turn), view.asset)
    if not picture.text:
        return passage
    source = passage.provenance.source if passage.provenance else passage.doc_id
    text, words = captioned(picture, source, page.number)
    return replace(passage, llm_text=text, provenance=_provenance(passage, words, image, None))


def _provenance(
    passage: Passage, words: tuple[Word, ...], image: str | None, start: int | None
) -> Provenance | None:
    before = passage.provenance
    return before and replace(before, words=words, page_image=image or before.page_image, start=start)


def _turned(box: Box, turn: int) -> Box:
    """A box of the page as it lay before, on the page as it lies now."""
    corners = [[box.left, box.top, 1.0], [box.right, box.bottom, 1.0]] @ np.array(TURNS[-turn]).T
    return Box(*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist())


def _thumbnail(data: bytes) -> Matrix | None:
    image = page_image(data)
    return None if image is None else np.asarray(image.convert("L").resize((_SIDE, _SIDE)), np.float32)


def _moved(word: Word, by: int) -> Word:
    return replace(word, start=word.start + by, end=word.end + by)


def _paragraphs(page: Page, words: Sequence[Word]) -> Iterator[Lines]:
    """Some words of a page, by its paragraphs and lines."""
    lines: Lines = []
    before: Word | None = None
    for word in words:
        if before is None or word.line != before.line:
            if before and "\n\n" in page.text[before.end : word.start]:
                yield lines
                lines = []
            lines.append([])
        lines[-1].append(Piece(page.text[word.start : word.end], word.box, word.confidence))
        before = word
    if lines:
        yield lines
