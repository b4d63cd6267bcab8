"""What the filters of both frameworks have in common."""

from __future__ import annotations

from rag_plugins.filters import Filter, Or, Scalar, where

__all__ = ["held_by"]


def held_by(key: str, value: Scalar) -> Filter:
    """What both call "contains": an element of a list or, of text, a part of a string. Raises `BadFilter`."""
    contains = where(key).contains(value)
    return Or((contains, where(key).includes(value))) if isinstance(value, str) else contains
