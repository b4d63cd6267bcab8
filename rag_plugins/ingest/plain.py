"""Files of characters, decoded; and plain text as pages."""

from __future__ import annotations

import codecs
import os
import re

from rag_plugins.config import OcrConfig
from rag_plugins.errors import BadDocument
from rag_plugins.ingest.documents import SourceFile
from rag_plugins.ingest.sheets import Sheet, Sheets, attempt, too_many_pages
from rag_plugins.ingest.text import clean, unseen

__all__ = ["decoded", "text_sheets"]

MAX_TEXT_BYTES = 64 * 2**20

_CHARSET = re.compile(
    rb"charset\s*=\s*[\"']?\s*(utf-?8|utf-?16|windows-?\d+|iso-?8859-?\d+|koi8-[ru]|gb2312|gbk|gb18030|"
    rb"big5(?:-hkscs)?|shift[-_]jis|euc-(?:jp|kr)|us-ascii)",
    re.IGNORECASE,
)
"""What a page of HTML says of its own coding, of the codings that are used."""

_MEANT = {"gb2312": "gb18030", "gbk": "gb18030", "iso8859-1": "cp1252", "ascii": "cp1252", "utf-16": "utf-8"}
"""What browsers read under these names. A declaration that can be read as ASCII is not UTF-16."""


def text_sheets(file: SourceFile, config: OcrConfig) -> Sheets:
    """One sheet a file, or one between form feeds."""
    whole = attempt(file.source, None, decoded, file)
    if isinstance(whole, BadDocument):
        yield whole
        return
    for number, text in enumerate(whole.split("\f"), start=1):
        if number > config.max_pages:
            yield too_many_pages(file.source, config.max_pages)
            return
        if (page := clean(text)).strip():
            yield Sheet(number, None, page, removed=unseen(text))


def decoded(file: SourceFile) -> str:
    """The characters of a file: by its mark, by what HTML says of itself, or as UTF-8.

    Raises `BadDocument` for bytes that are not of this coding, too many of them, and a file without text.
    """
    if os.stat(file.path).st_size > MAX_TEXT_BYTES:
        raise BadDocument(file.source, None, f"over {MAX_TEXT_BYTES >> 20} MiB of text: split the file")
    data = file.path.read_bytes()
    coding = _coding(data, file)
    try:
        text = data.decode(coding)
    except UnicodeDecodeError as error:
        raise BadDocument(
            file.source, None, f"not {coding} text (byte {error.start}): save the file as UTF-8"
        ) from error
    if not clean(text).strip():
        raise BadDocument(file.source, None, "the file holds no text")
    return text


def _coding(data: bytes, file: SourceFile) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    declared = _CHARSET.search(data, 0, 2048) if file.kind == "html" else None
    if declared is None or data.startswith(codecs.BOM_UTF8):
        return "utf-8"
    name = codecs.lookup(declared[1].decode()).name
    return _MEANT.get(name, name)
