"""DOCX to HTML through mammoth: no pictures, no links followed, within limits known before it parses."""

from __future__ import annotations

import os
import zlib
from io import BytesIO
from typing import IO, Any
from zipfile import BadZipFile, ZipFile

from rag_plugins.errors import BadDocument, require
from rag_plugins.ingest.documents import SourceFile

__all__ = ["docx_html"]

MAX_BYTES = 256 * 2**20

MAX_DIRECTORY = 4 * 2**20
"""Bytes of the archive's table of contents, which is read as a whole."""

MAX_XML = 32 * 2**20
"""Bytes of what is parsed."""

MAX_NODES = 1_000_000
"""Tags and attributes: so many take mammoth a minute and 0.9 GB at worst. A page has some 500."""

_CHUNK = 2**20
_END, _END_64 = b"PK\5\6", b"PK\6\7"
_DOCTYPES = tuple("<!DOCTYPE".encode(coding) for coding in ("utf-8", "utf-16-le", "utf-16-be"))
_STYLES = "p[style-name='Title'] => h1:fresh"

NOT_ONE = "not a readable DOCX: damaged, cut off, locked by a password, or something else under this name"
TOO_LARGE = "a DOCX of this size is not read: split it, or save it as PDF"


def docx_html(file: SourceFile) -> str:
    """What the document says, as HTML; of its pictures the alternative texts.

    Raises `MissingExtra`, and `BadDocument` for what is no DOCX or too large.
    """
    mammoth: Any = require("mammoth", extra="documents")
    if os.stat(file.path).st_size > MAX_BYTES:
        raise BadDocument(file.source, None, TOO_LARGE)
    try:
        with open(file.path, "rb") as data:
            parts = _xml_parts(data, file)
    except (BadZipFile, EOFError, NotImplementedError, RuntimeError, zlib.error) as error:
        raise BadDocument(file.source, None, NOT_ONE) from error
    try:
        return mammoth.convert_to_html(
            parts,
            convert_image=mammoth.images.img_element(_no_source),
            style_map=_STYLES,
            include_embedded_style_map=False,
            external_file_access=False,
        ).value
    except RecursionError as error:
        raise BadDocument(file.source, None, "its elements are nested too deep") from error


def _no_source(image: object) -> dict[str, str]:
    return {}


def _xml_parts(data: IO[bytes], file: SourceFile) -> BytesIO:
    """The parts that are XML, in an archive of their own, counted while they are unpacked."""
    if _directory_size(data) > MAX_DIRECTORY:
        raise BadDocument(file.source, None, TOO_LARGE)
    copy = BytesIO()
    total = nodes = 0
    with ZipFile(data) as archive, ZipFile(copy, "w") as parts:
        for name in dict.fromkeys(archive.namelist()):
            if not name.endswith((".xml", ".rels")):
                continue
            xml = _unpacked(archive, name)
            total += len(xml)
            nodes += xml.count(b"<") + xml.count(b"=")
            if total > MAX_XML or nodes > MAX_NODES:
                raise BadDocument(file.source, None, TOO_LARGE)
            if any(doctype in xml for doctype in _DOCTYPES):  # It may declare entities, which grow.
                raise BadDocument(file.source, None, NOT_ONE)
            parts.writestr(name, xml)
    copy.seek(0)
    return copy


def _directory_size(data: IO[bytes]) -> int:
    """In bytes. More than any limit where only the record for archives above 4 GB has it."""
    data.seek(max(0, data.seek(0, os.SEEK_END) - 2**16 - 22))
    tail = data.read()
    at = tail.rfind(_END)
    if at < 0 or len(tail) < at + 22:
        raise BadZipFile
    above = tail[max(0, at - 20) : at].startswith(_END_64)
    return 2**32 if above else int.from_bytes(tail[at + 12 : at + 16], "little")


def _unpacked(archive: ZipFile, name: str) -> bytes:
    """A part, or a little more of it than the limit: its declared size may be a lie."""
    chunks: list[bytes] = []
    size = 0
    with archive.open(name) as part:
        while size <= MAX_XML and (chunk := part.read(_CHUNK)):
            chunks.append(chunk)
            size += len(chunk)
    return b"".join(chunks)
