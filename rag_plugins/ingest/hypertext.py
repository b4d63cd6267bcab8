"""HTML to text that reads like Markdown: headings, lists and tables keep their form.

Nothing is fetched, run or styled: elements give text, and of their attributes `alt`, `hidden` and an inline
`display: none` count. Time and memory are linear: no tree is built, and columns of tables are not padded, as
one long cell would widen its whole column.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rag_plugins.errors import BadDocument, require

__all__ = ["html_text"]

_LINE, _PARAGRAPH = 1, 2

_BREAKS = {
    **dict.fromkeys(
        "address article aside body br caption center dd details dialog div dl dt fieldset figcaption figure "
        "footer form header html legend li main nav ol option section summary tbody td tfoot th thead tr ul"
        "".split(),
        _LINE,
    ),
    **dict.fromkeys("blockquote h1 h2 h3 h4 h5 h6 hr p pre table".split(), _PARAGRAPH),
}
"""What begins and ends a line, and what a paragraph."""

_UNREAD = frozenset("canvas iframe noscript object script style svg template title".split())
"""No text of the page, or the same again for other readers."""

_HEADINGS = {f"h{level}": "#" * level for level in range(1, 7)}
_HIDDEN = re.compile(r"display\s*:\s*none", re.IGNORECASE)

_TITLE = 300
"""Characters of a title: it is kept with every passage."""

_INDENTED = 8
"""Lists in lists beyond this depth are indented no further."""


def html_text(html: str, source: str) -> tuple[str, str]:
    """Title and text; the title is the head's, else the first heading, else "".

    Raises `MissingExtra`, and `BadDocument` for what is nested too deep.
    """
    tables = _DataTables()
    _parse(html, tables, source)
    writer = _Writer(tables.found)
    _parse(html, writer, source)
    return writer.title, writer.text


def _parse(html: str, target: _DataTables | _Writer, source: str) -> None:
    etree = require("lxml.etree", extra="documents")
    # Without huge_tree what lies deeper than 256 elements would be left out, silently.
    parser: Any = etree.HTMLParser(target=target, encoding="utf-8", huge_tree=True, no_network=True)
    try:
        etree.fromstring(html.encode("utf-8", "replace"), parser)
    except etree.XMLSyntaxError:
        return  # There is no element in it, and no text.
    if any(error.level == etree.ErrorLevels.FATAL for error in parser.error_log):
        raise BadDocument(source, None, "its elements are nested too deep")


class _DataTables:
    """Which tables, counted from 0, have columns and no table within: the others lay out a page."""

    def __init__(self) -> None:
        self.found: set[int] = set()
        self._count = 0
        self._outer: set[int] = set()
        self._open: list[int] = []
        self._cells = [0]

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """An element begins."""
        if tag == "table":
            self._outer.update(self._open[-1:])
            self._open.append(self._count)
            self._cells.append(0)
            self._count += 1
        elif tag == "tr":
            self._cells[-1] = 0
        elif tag in ("td", "th"):
            self._cells[-1] += 1
            if self._open and self._cells[-1] > 1:
                self.found.add(self._open[-1])

    def end(self, tag: str) -> None:
        """An element ends."""
        if tag == "table":
            self._open.pop()
            self._cells.pop()

    def data(self, text: str) -> None:
        """Text of an element: of no interest here."""

    def close(self) -> None:
        """The page ends."""
        self.found -= self._outer


class _Writer:
    """Lines of text, made of the beginnings and ends of elements."""

    def __init__(self, tables: set[int]) -> None:
        """`tables` are those to be written row by row."""
        self.title = self.text = ""
        self._titles: list[str] = []
        self._heading = ""
        self._data_tables = tables
        self._tables = 0
        self._in_table = False
        self._columns = 0
        self._lines: list[str] = []
        self._inline: list[str] = []
        self._gap = 0
        self._prefix = ""
        self._lists: list[int | None] = []  # The next number; None for bullets.
        self._pre = 0
        self._unread: list[str] = []  # What is open within what is not read.

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """An element begins."""
        self._tables += tag == "table"
        if self._unread or tag in _UNREAD or _is_hidden(attributes):
            self._unread.append(tag)
        elif self._in_table:
            self._start_in_table(tag)
        elif tag in _BREAKS:
            self._break(_BREAKS[tag])
            self._open(tag)
        if tag == "img" and not self._unread and attributes.get("alt"):
            self._inline.append(f"[{attributes['alt']}]")

    def data(self, text: str) -> None:
        """Text of an element, or a part of it."""
        if not self._unread:
            self._inline.append(text)
        elif self._unread == ["title"]:
            self._titles.append(text)

    def end(self, tag: str) -> None:
        """An element ends."""
        if self._unread:
            self._unread.pop()
        elif self._in_table and tag != "table":
            self._end_in_table(tag)
        elif tag in _BREAKS:
            self._close(tag)

    def close(self) -> None:
        """The page ends."""
        self._break(_LINE)
        self.text = "\n".join(self._lines)
        self.title = " ".join("".join(self._titles).split())[:_TITLE] or self._heading[:_TITLE]

    def _start_in_table(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._inline.append(" | " if self._columns else "| ")
            self._columns += 1
        elif tag == "tr":
            self._end_row()
        elif tag in _BREAKS:
            self._inline.append(" ")

    def _end_in_table(self, tag: str) -> None:
        if tag in ("tr", "caption"):
            self._end_row()
        elif tag in _BREAKS:
            self._inline.append(" ")

    def _end_row(self) -> None:
        self._inline.append(" |" if self._columns else "")
        self._columns = 0
        self._break(_LINE)

    def _open(self, tag: str) -> None:
        if tag in _HEADINGS:
            self._prefix = f"{_HEADINGS[tag]} "
        elif tag in ("ol", "ul"):
            self._lists.append(1 if tag == "ol" else None)
        elif tag == "li":
            self._prefix = self._bullet()
        elif tag == "pre":
            self._pre += 1
        elif tag == "table":
            self._in_table = self._tables - 1 in self._data_tables

    def _close(self, tag: str) -> None:
        if self._in_table:
            self._end_row()
        self._break(_BREAKS[tag])
        if tag in _HEADINGS or tag == "li":
            self._prefix = ""  # There was no text in it.
        elif tag in ("ol", "ul"):
            self._lists.pop()
        elif tag == "pre":
            self._pre -= 1
        elif tag == "table":
            self._in_table = False

    def _bullet(self) -> str:
        number = self._lists[-1] if self._lists else None
        if number is not None:
            self._lists[-1] = number + 1
        indent = "  " * (min(len(self._lists), _INDENTED) - 1)
        return f"{indent}- " if number is None else f"{indent}{number}. "

    def _break(self, gap: int) -> None:
        """End the line; the next stands on a line of its own, or after a blank one."""
        text = "".join(self._inline)
        self._inline.clear()
        if text.strip():
            self._write(text.strip("\n").split("\n") if self._pre else [" ".join(text.split())])
            self._gap = gap
        elif not self._prefix:
            self._gap = max(self._gap, gap)

    def _write(self, lines: list[str]) -> None:
        # What follows a heading stands directly below it, so that no passage parts them.
        below = bool(self._lines) and self._lines[-1].startswith("#")
        if self._lines and self._gap == _PARAGRAPH and not below:
            self._lines.append("")
        if self._prefix.startswith("#"):
            self._heading = self._heading or lines[0]
        lines[0] = self._prefix + lines[0]
        self._prefix = ""
        self._lines += lines


def _is_hidden(attributes: Mapping[str, str]) -> bool:
    return "hidden" in attributes or _HIDDEN.search(attributes.get("style", "")) is not None
