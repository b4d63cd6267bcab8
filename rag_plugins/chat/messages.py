"""What goes to and fro in a chat: messages, and the events of an answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from rag_plugins.chat.sources import Source
from rag_plugins.faces.talking import Message, Talk

__all__ = ["End", "Event", "Evidence", "Message", "Piece", "Talk"]


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
