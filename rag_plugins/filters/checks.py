"""What a key and a value of a filter may be."""

from __future__ import annotations

import math
import re

from rag_plugins.errors import BadFilter

__all__ = ["checked_key", "checked_text", "checked_value"]

_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}")


def checked_key(key: str) -> str:
    """The key itself. Raises `BadFilter` unless it is a name that needs no escaping."""
    if not isinstance(key, str) or not _KEY.fullmatch(key):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise BadFilter(f"metadata key {key!r}: expected a name like 'year' or 'file_name' ({_KEY.pattern})")
    return key


def checked_value(key: str, value: object) -> None:
    """Raise `BadFilter` for what no engine could compare with; never leave it out."""
    if not isinstance(value, str | int | float):
        raise BadFilter(
            f"{key}: got {type(value).__name__}, expected str, int, float or bool; "
            "for a missing value use ~where(key).exists()"
        )
    if isinstance(value, float) and not math.isfinite(value):
        raise BadFilter(f"{key}: got {value}, expected a finite number")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise BadFilter(f"{key}: got {value}, expected an integer of 64 bits")
    if isinstance(value, str):
        checked_text(key, value)


def checked_text(key: str, value: str) -> None:
    """Raise `BadFilter` for a string that no engine can hold."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadFilter(f"{key}: the value is not valid Unicode ({error.reason})") from error
    if "\0" in value:
        raise BadFilter(f"{key}: the value contains a NUL character")
