"""What a disk without room says, and what to do then."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

__all__ = ["ADVICE", "has_no_room", "is_full", "told"]

_FULL = re.compile(r"\[errno (27|28|122)\]|database or disk is full", re.IGNORECASE)
"""EFBIG, ENOSPC and EDQUOT, wherever they were raised, and SQLite's own words."""

ADVICE = (
    "the disk is full; free some space there, close the index, open it again and go on: what was "
    "acknowledged is in it"
)

_ROOM = 65_536
"""Bytes: a page or two of each file that one write changes."""


def is_full(text: str) -> bool:
    """Whether an error's text is about a lack of room."""
    return _FULL.search(text) is not None


def has_no_room(path: Path) -> bool:
    """Whether the disk that a file is on has hardly a byte left."""
    try:
        return shutil.disk_usage(path.resolve().parent).free < _ROOM
    except OSError:
        return False


def told(text: str) -> str:
    """The text and, where it is about a lack of room, what to do."""
    return f"{text}: {ADVICE}" if is_full(text) else text
