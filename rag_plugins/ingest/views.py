"""What retrieval reads of a page: text layer, recognised text, the page's picture, regions of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from typing import Literal

from rag_plugins.ingest.alignment import owners
from rag_plugins.ingest.pages import Page
from rag_plugins.ingest.policy import ViewPolicy
from rag_plugins.ingest.sentences import Span
from rag_plugins.ingest.text import Piece, assemble, retrieval_text
from rag_plugins.types import Box, EmbedImage, EmbedText, View, Word

__all__ = ["PageViews", "Picture", "figure", "pictures"]

_MARGIN = 0.01
"""Of the page's sides, around the words of a region."""


@dataclass(frozen=True, slots=True)
class Picture:
    """What has no text that could be found, and is seen all the same: a page, a figure on one.

    `text` and `words`, with spans into it, are what is written within a figure.
    """

    kind: Literal["picture", "figure"]
    says: str
    view: EmbedImage
    text: str = ""
    words: tuple[Word, ...] = ()


class PageViews:
    """The views of a page's passages."""

    def __init__(self, page: Page, policy: ViewPolicy, image: str | None) -> None:
        """`image` is the asset id of the page's image."""
        self._page = page
        self._policy = policy
        self._image = image if policy.images else None
        # Lines of what was recognised, each piece with the word of the text layer that it belongs to.
        owner = iter(owners([piece for line in page.seen for piece in line], page.words, page.text))
        self._seen = [[(piece, next(owner)) for piece in line] for line in page.seen]

    def of(self, span: Span) -> tuple[View, ...]:
        """The views of the passage that lies here in the page's text."""
        start, end = span
        inside = [n for n, word in enumerate(self._page.words) if word.start < end and word.end > start]
        return (*self._texts(span, set(inside)), *self._images(self._page.words[n].box for n in inside))

    def _texts(self, span: Span, inside: set[int]) -> list[EmbedText]:
        if not self._policy.embeds_text(self._page.origin):
            return []
        own = retrieval_text(self._page.text[slice(*span)])
        lines = [[piece for piece, owner in line if owner in inside] for line in self._seen]
        seen = retrieval_text(assemble([[line for line in lines if line]])[0])
        # Where nothing was recognised of it, it would be lost.
        wanted = {"both": (own, seen), "ocr": (seen or own,)}.get(self._policy.text, (own,))
        return [EmbedText(text) for text in dict.fromkeys(wanted) if text]

    def _images(self, boxes: Iterable[Box]) -> list[EmbedImage]:
        if self._image is None:
            return []
        return [EmbedImage(self._image, _around(boxes) if self._policy.images == "regions" else None)]


def pictures(page: Page, policy: ViewPolicy, image: str | None) -> list[Picture]:
    """A page without text, or the figures on one with text; none where no leg reads images."""
    if policy.images is None or image is None:
        return []
    if not page.text.strip():
        says = "a blank page" if page.blank else "a picture without readable text"
        return [Picture("picture", says, EmbedImage(image))]
    return [figure(page, box, image) for box in page.figures]


def figure(page: Page, box: Box, image: str) -> Picture:
    """What stands within this box of the page."""
    lines: dict[int, list[Piece]] = {}
    for word in page.words:
        if _holds(box, word.box):
            piece = Piece(page.text[word.start : word.end], word.box, word.confidence)
            lines.setdefault(word.line, []).append(piece)
    text, words = assemble([list(lines.values())])
    says = "a figure" if text else "a figure without readable text"
    return Picture("figure", says, EmbedImage(image, box), text, words)


def _holds(box: Box, word: Box) -> bool:
    across, down = (word.left + word.right) / 2, (word.top + word.bottom) / 2
    return box.left <= across <= box.right and box.top <= down <= box.bottom


def _around(boxes: Iterable[Box]) -> Box | None:
    """The smallest box around these with a margin, within the page; None around none."""
    found = list(boxes)
    if not found:
        return None
    box = reduce(Box.union, found)
    return Box(
        max(0.0, box.left - _MARGIN),
        max(0.0, box.top - _MARGIN),
        min(1.0, box.right + _MARGIN),
        min(1.0, box.bottom + _MARGIN),
    )
