"""Passages to the texts of a row and back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from rag_plugins.errors import StoreError
from rag_plugins.text import clean
from rag_plugins.types import Box, EmbedImage, EmbedText, Passage, Provenance, View, Word

__all__ = ["TEXTS", "cut", "decode", "decode_views", "dumps", "encode", "images_in", "storable"]

TEXTS = ("llm_text", "views", "provenance")
"""The fields of a row that may be longer than a field can be."""

_SCALE = 10_000
"""Boxes and confidences are kept as integers, in ten thousandths."""

_T = TypeVar("_T")

_WORD = 8
"""Integers a word: gap to the last word's end, length, line, four edges, confidence (-1: none)."""


def storable(text: str) -> str:
    """The text itself, or a cleaned one where no engine could hold it (lone surrogates, NUL)."""
    return text if "\0" not in text and _is_unicode(text) else clean(text)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def encode(passage: Passage) -> dict[str, str]:
    """The texts of a row, of any length."""
    return {
        "llm_text": storable(passage.llm_text),
        "views": dumps([_view(view) for view in passage.views]),
        "provenance": dumps(_provenance(passage.provenance)) if passage.provenance else "",
    }


def decode(row: Mapping[str, Any]) -> Passage:
    """The passage of a row. Raises `StoreError` where its texts are damaged."""
    try:
        return Passage(
            id=row["id"],
            doc_id=row["doc_id"],
            views=decode_views(row["views"]),
            llm_text=_of(str, row["llm_text"]),
            metadata=_of(dict, row["metadata"]),
            provenance=_provenance_of(json.loads(text)) if (text := row.get("provenance")) else None,
            caller_id=row["caller_id"],
        )
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise StoreError(f"row {row.get('id')} is damaged ({error}): ingest its document again") from error


def decode_views(text: str | bytes) -> tuple[View, ...]:
    """The views of a row, of its JSON."""
    return tuple(_view_of(*view) for view in _of(list, json.loads(text)))


def images_in(row: Mapping[str, Any]) -> frozenset[str]:
    """The ids of the images that a row refers to. Raises `ValueError`, `TypeError` where it is damaged."""
    views = decode_views(row["views"])
    page = json.loads(row["provenance"])["image"] if row["provenance"] else None
    return frozenset(
        asset for asset in (page, *(view.asset for view in views if isinstance(view, EmbedImage))) if asset
    )


def cut(text: str, size: int) -> Iterator[str]:
    """Pieces of at most `size` bytes of UTF-8, no character split; one empty piece for an empty text."""
    data = text.encode()
    start = 0
    while len(data) - start > size:
        end = start + size
        while data[end] & 0xC0 == 0x80:  # A continuation byte: its character began before.
            end -= 1
        yield data[start:end].decode()
        start = end
    yield data[start:].decode()


def dumps(value: object) -> str:
    """Compact JSON, as rows hold it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _view(view: View) -> tuple[object, ...]:
    if isinstance(view, EmbedText):
        return "text", storable(view.text)
    asset = storable(view.asset)
    return ("image", asset) if view.box is None else ("image", asset, _edges(view.box))


def _view_of(kind: str, value: str, edges: Sequence[int] | None = None) -> View:
    if kind == "text":
        return EmbedText(_of(str, value))
    if kind != "image":
        raise ValueError(f"a view of kind {kind!r}")
    return EmbedImage(_of(str, value), Box(*(edge / _SCALE for edge in edges)) if edges else None)


def _edges(box: Box) -> list[int]:
    return [round(_SCALE * edge) for edge in (box.left, box.top, box.right, box.bottom)]


def _provenance(provenance: Provenance) -> dict[str, object]:
    return {
        "source": storable(provenance.source),
        "page": provenance.page,
        "image": storable(provenance.page_image) if provenance.page_image is not None else None,
        "start": provenance.start,
        "words": list(_numbers(provenance.words)),
    }


def _numbers(words: tuple[Word, ...]) -> Iterator[int]:
    end = 0
    for word in words:
        yield from (word.start - end, word.end - word.start, word.line)
        yield from _edges(word.box)
        yield -1 if word.confidence is None else round(_SCALE * word.confidence)
        end = word.end


def _provenance_of(value: Mapping[str, Any]) -> Provenance:
    image, page, start = value["image"], value["page"], value["start"]
    return Provenance(
        _of(str, value["source"]),
        None if page is None else _of(int, page),
        tuple(_words(_of(list, value["words"]))),
        None if image is None else _of(str, image),
        None if start is None else _of(int, start),
    )


def _of(kind: type[_T], value: Any) -> _T:
    if not isinstance(value, kind):
        raise TypeError(f"got {type(value).__name__}, expected {kind.__name__}")
    return value


def _words(numbers: Sequence[int]) -> Iterator[Word]:
    # By columns: passages carry some 150 words, and a query reads dozens of passages.
    table = np.array(numbers, np.int64).reshape(-1, _WORD)
    ends = np.cumsum(table[:, 0] + table[:, 1])
    edges, sure = (table[:, 3:7] / _SCALE).T.tolist(), (table[:, 7] / _SCALE).tolist()
    confidences = [None if share < 0.0 else share for share in sure]
    starts = (ends - table[:, 1]).tolist()
    return map(Word, starts, ends.tolist(), table[:, 2].tolist(), map(Box, *edges), confidences)
