"""Passages of one page put together: in the page's order, what they share once."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from rag_plugins.types import Passage

__all__ = ["LEFT_OUT", "Excerpt", "joined", "pages_of", "place"]

LEFT_OUT = "[…]"
"""Stands where text of the page may be missing."""

_SPACE = 8
"""Characters between neighbouring passages at most: white space, where a passage would hardly fit."""


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A part of a passage's `llm_text`, from `start` to `end`."""

    passage: Passage
    start: int
    end: int

    @classmethod
    def whole(cls, passage: Passage) -> Excerpt:
        """All of a passage."""
        return cls(passage, 0, len(passage.llm_text))

    @property
    def cut(self) -> bool:
        """Whether the passage goes on."""
        return self.end < len(self.passage.llm_text)

    @property
    def _page_start(self) -> int:
        """Where the passage begins in the text of its page."""
        origin = self.passage.provenance
        return origin.start or 0 if origin else 0

    @property
    def first(self) -> int:
        """Where it begins in the text of its page."""
        return self._page_start + self.start

    @property
    def last(self) -> int:
        """Where it ends in the text of its page."""
        return self._page_start + self.end

    def text(self, first: int, last: int) -> str:
        """The passage's text between two places of its page."""
        return self.passage.llm_text[first - self._page_start : last - self._page_start]


def place(passage: Passage) -> Hashable:
    """Equal for passages of one page; a passage whose place there is not known is like no other."""
    origin = passage.provenance
    if origin is None or origin.start is None:
        return passage.id
    return passage.doc_id, origin.source, origin.page


def pages_of(excerpts: Iterable[Excerpt]) -> list[list[Excerpt]]:
    """Excerpts by page, pages in the order of their first."""
    pages: dict[Hashable, list[Excerpt]] = {}
    for excerpt in excerpts:
        pages.setdefault(place(excerpt.passage), []).append(excerpt)
    return list(pages.values())


def joined(excerpts: Sequence[Excerpt]) -> Iterator[Excerpt | str]:
    """The excerpts of one page in its order, nothing twice, with what stands between and after them."""
    done: Excerpt | None = None
    for excerpt in sorted(excerpts, key=lambda found: (found.first, -found.last)):
        shared = 0 if done is None else _shared(done, excerpt)
        if shared < excerpt.end - excerpt.start:
            if done is not None and not shared:
                yield _between(done, excerpt)
            yield replace(excerpt, start=excerpt.start + shared)
            done = excerpt
    if done is not None and done.cut:
        yield f"\n{LEFT_OUT}"


def _shared(done: Excerpt, excerpt: Excerpt) -> int:
    """How many of its first characters were shown; none where the two disagree on them."""
    last = min(done.last, excerpt.last)
    same = last > excerpt.first and done.text(excerpt.first, last) == excerpt.text(excerpt.first, last)
    return last - excerpt.first if same else 0


def _between(done: Excerpt, excerpt: Excerpt) -> str:
    gap = excerpt.first - done.last
    if gap > _SPACE or (done.cut and gap > 0):
        return f"\n{LEFT_OUT}\n"
    return ("", " ")[gap] if 0 <= gap <= 1 else "\n"
