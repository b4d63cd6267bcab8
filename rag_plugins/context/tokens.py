"""How many tokens a text is about."""

from __future__ import annotations

import re

from rag_plugins.ingest.text import CJK

__all__ = ["estimate_tokens"]

_UNIT = re.compile(rf"[{CJK}]|[^\W{CJK}]+|[^\w\s]|\n")


def estimate_tokens(text: str) -> int:
    """An estimate, for prose mostly on the high side of today's tokenizers, to keep budgets by without any.

    A Chinese, Japanese or Korean character counts as one, and so do 4 characters of a word, begun or whole,
    2 where it holds other letters than A to Z or digits, a mark of punctuation and a line end.
    """
    return sum(_tokens(unit.group()) for unit in _UNIT.finditer(text))


def _tokens(unit: str) -> int:
    return -(-len(unit) // (4 if unit.isascii() and unit.isalpha() else 2))
