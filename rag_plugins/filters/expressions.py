"""The filters there are, and `where`, which makes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias, cast

from rag_plugins.errors import BadFilter
from rag_plugins.filters.checks import checked_key, checked_text, checked_value

__all__ = [
    "DOCUMENT",
    "And",
    "Comparison",
    "Contains",
    "EmptyList",
    "Exists",
    "Filter",
    "Includes",
    "Not",
    "Or",
    "Scalar",
    "all_of",
    "checked",
    "where",
]

Scalar: TypeAlias = str | int | float | bool
Operator: TypeAlias = Literal["==", "!=", "<", "<=", ">", ">="]

DOCUMENT = "doc_id"
"""The key that is the document's id, whatever the metadata says."""

_OPERATORS = frozenset({"==", "!=", "<", "<=", ">", ">="})
_DEEPEST = 50  # Engines parse by recursion; Lite gives up at about 150 levels.


class _Combinable:
    """`&`, `|` and `~` on filters."""

    __slots__ = ()

    def __and__(self, other: Filter) -> Filter:
        mine = self.parts if isinstance(self, And) else (cast("Filter", self),)
        return And((*mine, other))

    def __or__(self, other: Filter) -> Filter:
        mine = self.parts if isinstance(self, Or) else (cast("Filter", self),)
        return Or((*mine, other))

    def __invert__(self) -> Filter:
        return Not(cast("Filter", self))

    def __bool__(self) -> bool:
        # `a and b` would silently drop a; `==` between filters reads like a filter but is not one.
        raise BadFilter("a filter has no truth value: combine filters with &, | and ~")


@dataclass(frozen=True, slots=True)
class Comparison(_Combinable):
    """`key operator value`; false for a passage that lacks the key."""

    key: str
    operator: Operator
    value: Scalar

    def __post_init__(self) -> None:
        checked_key(self.key)
        checked_value(self.key, self.value)
        if self.key == DOCUMENT and not isinstance(self.value, str):
            raise BadFilter(f"doc_id: got {self.value!r}, expected a string")
        if self.operator not in _OPERATORS:
            raise BadFilter(f"operator {self.operator!r}: expected one of {sorted(_OPERATORS)}")


@dataclass(frozen=True, slots=True)
class Exists(_Combinable):
    """The passage has the key."""

    key: str

    def __post_init__(self) -> None:
        checked_key(self.key)


@dataclass(frozen=True, slots=True)
class Contains(_Combinable):
    """The value is a list and has this element; false for everything else."""

    key: str
    value: Scalar

    def __post_init__(self) -> None:
        checked_key(self.key)
        checked_value(self.key, self.value)


@dataclass(frozen=True, slots=True)
class Includes(_Combinable):
    """The value is a string with this text somewhere in it; false for everything else."""

    key: str
    text: str
    ignore_case: bool = False

    def __post_init__(self) -> None:
        checked_key(self.key)
        if not isinstance(self.text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise BadFilter(f"{self.key}: got {self.text!r}, expected a string to look for in strings")
        checked_text(self.key, self.text)

    def holds(self, text: str) -> bool:
        """For a value that is a string."""
        return self.text.lower() in text.lower() if self.ignore_case else self.text in text


@dataclass(frozen=True, slots=True)
class EmptyList(_Combinable):
    """The value is a list without elements."""

    key: str

    def __post_init__(self) -> None:
        checked_key(self.key)


@dataclass(frozen=True, slots=True)
class And(_Combinable):
    """Every part holds; no parts hold always."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Or(_Combinable):
    """Some part holds; no parts hold never."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Not(_Combinable):
    """The part does not hold."""

    part: Filter


Filter: TypeAlias = Comparison | Exists | Contains | Includes | EmptyList | And | Or | Not


class where:  # noqa: N801 - reads as a word of the filter language
    """A metadata key on its way to becoming a filter."""

    __slots__ = ("_key",)

    def __init__(self, key: str) -> None:
        self._key = checked_key(key)

    def __eq__(self, value: Scalar) -> Comparison:  # type: ignore[override]
        return Comparison(self._key, "==", value)

    def __ne__(self, value: Scalar) -> Comparison:  # type: ignore[override]
        return Comparison(self._key, "!=", value)

    def __lt__(self, value: Scalar) -> Comparison:
        return Comparison(self._key, "<", value)

    def __le__(self, value: Scalar) -> Comparison:
        return Comparison(self._key, "<=", value)

    def __gt__(self, value: Scalar) -> Comparison:
        return Comparison(self._key, ">", value)

    def __ge__(self, value: Scalar) -> Comparison:
        return Comparison(self._key, ">=", value)

    __hash__: ClassVar[None] = None  # type: ignore[assignment]

    def is_in(self, values: Sequence[Scalar]) -> Filter:
        """One of `values`; an empty list matches nothing."""
        return Or(tuple(Comparison(self._key, "==", value) for value in values))

    def exists(self) -> Exists:
        """The passage has the key."""
        return Exists(self._key)

    def contains(self, value: Scalar) -> Contains:
        """A list with this element; for any or all of several join these with | or &."""
        return Contains(self._key, value)

    def includes(self, text: str, *, ignore_case: bool = False) -> Includes:
        """A string with this text in it.

        Servers cannot say that of any case, nor of text with %, _ or backslash: there the key's texts are
        read first (all of them; those that are like it), which takes time.
        """
        return Includes(self._key, text, ignore_case)

    def is_empty(self) -> Filter:
        """No value, the empty string, or a list without elements."""
        return Or((Not(self.exists()), self == "", EmptyList(self._key)))


def all_of(values: Mapping[str, Scalar | Sequence[Scalar]]) -> Filter:
    """Equality with every value of a mapping; a list of values means any of them."""
    return And(
        tuple(
            where(key).is_in(value)
            if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray)
            else Comparison(key, "==", cast("Scalar", value))  # Which refuses bytes.
            for key, value in values.items()
        )
    )


def checked(filter: Filter) -> Filter:
    """The filter itself. Raises `BadFilter` for what is none, and for one that is nested too deep."""
    _check(filter, _DEEPEST)
    return filter


def _check(filter: Filter, deeper: int) -> None:
    if not deeper:
        raise BadFilter(f"filters are nested more than {_DEEPEST} deep: join many with And(…) or Or(…)")
    match filter:
        case And(parts) | Or(parts):
            for part in parts:
                _check(part, deeper - 1)
        case Not(part):
            _check(part, deeper - 1)
        case Comparison() | Exists() | Contains() | Includes() | EmptyList():
            pass
        case _:
            raise BadFilter(f"got {type(filter).__name__}: build filters with rag_plugins.where(key)")
