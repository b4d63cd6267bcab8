"""Text from anywhere, made safe to store, index and print; short names for it."""

from __future__ import annotations

import hashlib
import re
from pathlib import PurePosixPath, PureWindowsPath

__all__ = ["clean", "digest", "file_name"]

_SURROGATES = re.compile("[\ud800-\udfff]")
_CONTROLS = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f]")


def clean(text: str) -> str:
    """Valid Unicode without control characters: lone surrogates become U+FFFD, controls go.

    Tabs, line feeds, form feeds and carriage returns stay: they carry layout.
    """
    return _CONTROLS.sub("", _SURROGATES.sub("\ufffd", text))


def digest(text: str) -> str:
    """A short stable name for any text: 32 hex digits."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def file_name(name: str) -> str:
    """A file's name alone, where a name is a path from the root of a machine; any other as it is."""
    paths = (PurePosixPath(name), PureWindowsPath(name))
    return next((path.name for path in paths if path.is_absolute()), name)
