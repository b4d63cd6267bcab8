"""What goes to and fro in a chat: messages, and the events of an answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from rag_plugins.chat.sources import Source

__all__ = ["End", "Event", "Evidence", "Message", "Piece", "Talk"]


@dataclass(frozen=True, slots=True)
class Message:
    """One of a conversation's."""

    role: Literal["system", "user", "assistant"]
    text: str


Talk: TypeAlias = Callable[[Sequence[Message]], Iterator[str]]
"""A language model: a conversation to the pieces of its next message, as they come."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the answer will be made of; `question` as it was searched, `notices` of the search."""

    question: str
    sources: tuple[Source, ...]
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Piece:
    """The answer's next few words; [1] in them cites a source."""

    text: str


@dataclass(frozen=True, slots=True)
class End:
    """The answer is whole: written by a model, made of quotes, or that nothing relevant was found."""

    kind: Literal["answer", "quotes", "nothing"]
    note: str = ""


Event: TypeAlias = Evidence | Piece | End
