"""Text from anywhere, made safe to store, index and print."""

from __future__ import annotations

import re

__all__ = ["clean"]

_SURROGATES = re.compile("[\ud800-\udfff]")
_CONTROLS = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f]")


def clean(text: str) -> str:
    """Valid Unicode without control characters: lone surrogates become U+FFFD, controls go.

    Tabs, line feeds, form feeds and carriage returns stay: they carry layout.
    """
    return _CONTROLS.sub("", _SURROGATES.sub("\ufffd", text))
