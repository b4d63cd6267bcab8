"""Text from anywhere, made safe to store, index and print; short names for it."""

from __future__ import annotations

import hashlib
import re

__all__ = ["clean", "digest"]

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
