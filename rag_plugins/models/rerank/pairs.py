"""Query and passage as one sequence of tokens, of which only the passage may be cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Pair"]


@dataclass(frozen=True, slots=True)
class Pair:
    """A query and a passage as token ids.

    `before`: all that stands before the passage (markers, template, query). `passage`: whole, never cut yet.
    `after`: markers or template after it, never cut. `types`: token types of the three, None where the model
    has none.
    """

    before: Sequence[int]
    passage: Sequence[int]
    after: Sequence[int]
    types: tuple[int, int, int] | None = None
