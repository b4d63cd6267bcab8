"""What a language model is told in a chat, and what it says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["Message", "Talk"]


@dataclass(frozen=True, slots=True)
class Message:
    """One of a conversation's."""

    role: Literal["system", "user", "assistant"]
    text: str


Talk: TypeAlias = Callable[[Sequence[Message]], Iterator[str]]
"""A language model: a conversation to the pieces of its next message, as they come."""
