"""DOCX, Markdown and HTML: all become HTML, and that becomes text."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from html import escape

from rag_plugins.errors import BadDocument, require
from rag_plugins.ingest.documents import Kind, SourceFile
from rag_plugins.ingest.docx import docx_html
from rag_plugins.ingest.hypertext import html_text
from rag_plugins.ingest.plain import decoded
from rag_plugins.ingest.sheets import Sheet, Sheets, attempt
from rag_plugins.ingest.text import clean, unseen

__all__ = ["markup_sheets"]

MAX_CHARACTERS = 16 * 2**20
"""Reading takes some 40 bytes for each at worst."""

_DATA = re.compile(r"data:[^\s\"'<>]{200,}")
"""Images within a page, which may be most of the file."""

_FRONT = re.compile(r"\A---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
"""Key: value lines before the Markdown, which it would read as a heading."""


def markup_sheets(file: SourceFile) -> Sheets:
    """One sheet a file, with its title. Raises `MissingExtra`."""
    yield attempt(file.source, None, _sheet, file)


def _sheet(file: SourceFile) -> Sheet:
    title, text = html_text(_HTML[file.kind](file), file.source)
    removed = unseen(text)
    text = clean(text)
    if not text.strip():
        raise BadDocument(file.source, None, "the file holds no text")
    return Sheet(1, None, text, title=clean(title), removed=removed)


def _of_html(file: SourceFile) -> str:
    return _short(_DATA.sub("data:", decoded(file)), file)


def _of_markdown(file: SourceFile) -> str:
    text = _short(clean(_DATA.sub("data:", decoded(file))), file)
    front = _FRONT.match(text)
    head, body = (f"<pre>{escape(front[1])}</pre>", text[front.end() :]) if front else ("", text)
    markdown = require("markdown_it", extra="documents")
    return head + markdown.MarkdownIt("commonmark").enable("table").render(body)


def _short(text: str, file: SourceFile) -> str:
    if len(text) > MAX_CHARACTERS:
        raise BadDocument(file.source, None, f"over {MAX_CHARACTERS >> 20} Mi characters: split the file")
    return text


_HTML: Mapping[Kind, Callable[[SourceFile], str]] = {
    "html": _of_html,
    "markdown": _of_markdown,
    "docx": docx_html,
}
