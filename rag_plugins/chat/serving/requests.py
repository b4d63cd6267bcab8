"""What the page sends, checked before anything is done with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rag_plugins.chat.messages import Message
from rag_plugins.errors import BadInput
from rag_plugins.filters import And, Filter, Or, where

__all__ = ["Question", "parsed", "to_filter"]

_MOST_TOLD = 3
"""Faults of one question."""

Operator: TypeAlias = Literal["==", "!=", ">=", "<=", "includes"]

_LARGEST = 2.0**63
"""What the store's whole numbers are below; infinity and what is no number at all are not, either."""

_COMPARE: Mapping[Operator, Callable[[where, str | int | float], Filter]] = {
    "==": lambda key, value: key == value,
    "!=": lambda key, value: key != value,
    ">=": lambda key, value: key >= value,
    "<=": lambda key, value: key <= value,
    "includes": lambda key, value: key.includes(str(value), ignore_case=True),
}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Said(_Strict):
    """A message of the conversation so far."""

    role: Literal["user", "assistant"]
    text: Annotated[str, Field(max_length=50_000)]


class Part(_Strict):
    """One condition: a metadata key, or "doc_id" with a document's key as the value."""

    key: Annotated[str, Field(max_length=100)]
    operator: Operator
    value: Annotated[str, Field(max_length=1_000)]


class Question(_Strict):
    """What is asked, after what, and among which passages."""

    question: Annotated[str, Field(min_length=1, max_length=4_000)]
    history: Annotated[tuple[Said, ...], Field(max_length=40)] = ()
    filter: Annotated[tuple[Part, ...] | None, Field(max_length=10)] = None

    @property
    def messages(self) -> list[Message]:
        """The conversation so far."""
        return [Message(said.role, said.text) for said in self.history]


def parsed(body: bytes) -> Question:
    """Raises `BadInput` for what is no question."""
    try:
        return Question.model_validate_json(body)
    except ValidationError as error:
        told = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
        raise BadInput(f"the question cannot be read: {'; '.join(told[:_MOST_TOLD])}") from None


def to_filter(parts: Sequence[Part] | None, documents: Mapping[str, str]) -> Filter | None:
    """All conditions together; `documents` has ids by the page's keys. Raises `BadInput`, `BadFilter`."""
    return And(tuple(_filter(part, documents) for part in parts)) if parts else None


def _filter(part: Part, documents: Mapping[str, str]) -> Filter:
    if part.key == "doc_id":
        if part.value not in documents:
            raise BadInput("the document is not in the collection any more: choose another one")
        return _COMPARE["!=" if part.operator == "!=" else "=="](where("doc_id"), documents[part.value])
    compare, key = _COMPARE[part.operator], where(part.key)
    number = _number(part.value)
    if number is None or part.operator == "includes":
        return compare(key, part.value)
    # What is typed says not whether the metadata have a number or a text of digits.
    if part.operator == "!=":
        return And((compare(key, part.value), compare(key, number)))
    return (
        Or((compare(key, part.value), compare(key, number)))
        if part.operator == "=="
        else compare(key, number)
    )


def _number(text: str) -> int | float | None:
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        return number if abs(number) < _LARGEST else None
    return None
