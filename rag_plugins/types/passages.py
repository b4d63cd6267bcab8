"""A passage and its two sides: what retrieval reads (`views`) and what the LLM reads (`llm_text`)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NoReturn, TypeAlias

from rag_plugins.errors import BadInput, SideError

if TYPE_CHECKING:
    pass

__all__ = [
    "Box",
    "Citation",
    "EmbedImage",
    "EmbedText",
    "JsonValue",
    "Passage",
    "Provenance",
    "View",
    "Word",
    "embed_image",
    "embed_text",
    "passage_id",
]

JsonValue: TypeAlias = "str | int | float | bool | None | list[JsonValue] | dict[str, JsonValue]"


@dataclass(frozen=True, slots=True)
class EmbedText:
    """Text for retrieval alone. Deliberately not a `str`: a prompt given one raises `SideError`."""

    text: str

    def __format__(self, spec: str) -> NoReturn:
        raise SideError(
            "got EmbedText, which retrieval reads, where text for the LLM is expected: use Passage.llm_text"
        )

    def __str__(self) -> NoReturn:
        self.__format__("")


@dataclass(frozen=True, slots=True)
class EmbedImage:
    """An image for retrieval: the content id of an asset, never a path; `box` is the part of it, None all."""

    asset: str
    box: Box | None = None


View: TypeAlias = EmbedText | EmbedImage


def embed_text(views: Iterable[View]) -> EmbedText | None:
    """What a text leg reads of a passage: its text views, joined by new lines; None where it has none."""
    texts = [view.text for view in views if isinstance(view, EmbedText)]
    return EmbedText("\n".join(texts)) if texts else None


def embed_image(views: Iterable[View]) -> EmbedImage | None:
    """What an image leg reads of a passage: its first image view; None where it has none."""
    return next((view for view in views if isinstance(view, EmbedImage)), None)


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in fractions of the page's width and height, origin at the top left."""

    left: float
    top: float
    right: float
    bottom: float

    def union(self, other: Box) -> Box:
        """The smallest box around both."""
        return Box(
            min(self.left, other.left),
            min(self.top, other.top),
            max(self.right, other.right),
            max(self.bottom, other.bottom),
        )


@dataclass(frozen=True, slots=True)
class Word:
    """A word of `llm_text`: its span there, its line on the page, its box, and how sure the OCR was.

    `confidence` runs from 0 to 1; None means that nothing had to be recognised (a PDF's own text).
    """

    start: int
    end: int
    line: int
    box: Box
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a passage is from: file, page (from 1), words with boxes, the page image's asset id.

    `start` is where `llm_text` begins in the text of the page, in characters; None where that is not known.
    """

    source: str
    page: int | None = None
    words: tuple[Word, ...] = ()
    page_image: str | None = None
    start: int | None = None

    @property
    def confidence(self) -> float | None:
        """The mean confidence of the words that were recognised, 0 to 1; None where none was."""
        known = [word.confidence for word in self.words if word.confidence is not None]
        return sum(known) / len(known) if known else None

    def boxes(self) -> tuple[Box, ...]:
        """One box a line, in reading order."""
        lines: dict[int, Box] = {}
        for word in self.words:
            lines[word.line] = lines[word.line].union(word.box) if word.line in lines else word.box
        return tuple(lines.values())

    def within(self, start: int, end: int) -> Provenance:
        """The same place, with the words alone that a span of `llm_text` touches."""
        return replace(
            self, words=tuple(word for word in self.words if word.start < end and word.end > start)
        )


@dataclass(frozen=True, slots=True)
class Citation:
    """Where a text stands: file, page (from 1), one box a line, the page image's asset id.

    `confidence` is the mean of its words that were recognised, 0 to 1; None where none was. Of what has no
    words with boxes (plain text) source and page are all that is known.
    """

    source: str
    page: int | None = None
    boxes: tuple[Box, ...] = ()
    page_image: str | None = None
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Passage:
    """One thing that can be found. `views` and `llm_text` never mix.

    `id` is 64 hex digits (see `passage_id`); `caller_id` is the id that the caller's own program
    knows it by (a Document.id, a node_id), None where it has none.
    """

    id: str
    doc_id: str
    views: tuple[View, ...]
    llm_text: str
    metadata: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])
    provenance: Provenance | None = None
    caller_id: str | None = None

    def cite(self, start: int = 0, end: int | None = None) -> Citation:
        """Where a span of `llm_text`, by default all of it, stands. Raises `BadInput` for a span outside.

        Boxes are those of whole words; a picture without words stands where its view does.
        """
        last = len(self.llm_text) if end is None else end
        if not 0 <= start <= last <= len(self.llm_text):
            raise BadInput(f"span {start} to {last}: expected one within the {len(self.llm_text)} characters")
        origin, image = self.provenance, embed_image(self.views)
        asset = image.asset if image else None
        if origin is None:
            return Citation(self.doc_id, page_image=asset)
        told = origin.within(start, last)
        pictured = (image.box,) if image and image.box and not origin.words else ()
        return Citation(
            origin.source, origin.page, told.boxes() or pictured, origin.page_image or asset, told.confidence
        )


def passage_id(
    tenant: str, *, caller_id: str | None = None, source: str = "", position: str = "", content: str = ""
) -> str:
    """sha256 over the tenant and the caller's own id, or else over tenant, source, position and content.

    Every part is length-prefixed, so that no two different tuples read the same.
    """
    parts = (
        ("caller", tenant, caller_id)
        if caller_id is not None
        else ("made", tenant, source, position, content)
    )
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()
