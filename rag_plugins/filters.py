"""Typed filter expressions over metadata, and the one function that turns them into Milvus' language.

    where("year") >= 2020
    (where("kind") == "manual") & ~where("draft").exists()
    where("language").is_in(["en", "zh"])
    where("doc_id") == "handbook.pdf"        # the document's id, whatever the metadata says

A comparison with a key that a passage lacks is false, so `~(where("year") == 2020)` keeps the passages
that have no year. A value of another type is never equal, and whether it is before or after is left to the
engine: keep one type a key. Strings are never parsed into filters: what a user types is only ever a value.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast

from rag_plugins.errors import BadFilter

__all__ = ["And", "Comparison", "Exists", "Filter", "Not", "Or", "all_of", "to_milvus", "where"]

Scalar: TypeAlias = str | int | float | bool
Operator: TypeAlias = Literal["==", "!=", "<", "<=", ">", ">="]

_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}")
_OPERATORS = frozenset({"==", "!=", "<", "<=", ">", ">="})
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"})
_DOCUMENT = "doc_id"
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
        _checked_key(self.key)
        _checked_value(self.key, self.value)
        if self.key == _DOCUMENT and not isinstance(self.value, str):
            raise BadFilter(f"doc_id: got {self.value!r}, expected a string")
        if self.operator not in _OPERATORS:
            raise BadFilter(f"operator {self.operator!r}: expected one of {sorted(_OPERATORS)}")


@dataclass(frozen=True, slots=True)
class Exists(_Combinable):
    """The passage has the key."""

    key: str

    def __post_init__(self) -> None:
        _checked_key(self.key)


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


Filter: TypeAlias = Comparison | Exists | And | Or | Not


class where:  # noqa: N801 - reads as a word of the filter language
    """A metadata key on its way to becoming a filter."""

    __slots__ = ("_key",)

    def __init__(self, key: str) -> None:
        self._key = _checked_key(key)

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

    __hash__ = None  # type: ignore[assignment]

    def is_in(self, values: Sequence[Scalar]) -> Filter:
        """One of `values`; an empty list matches nothing."""
        return Or(tuple(Comparison(self._key, "==", value) for value in values))

    def exists(self) -> Exists:
        """The passage has the key."""
        return Exists(self._key)


def all_of(values: Mapping[str, Scalar | Sequence[Scalar]]) -> Filter:
    """Equality with every value of a mapping; a list of values means any of them."""
    return And(
        tuple(
            where(key).is_in(value)
            if isinstance(value, Sequence) and not isinstance(value, str)
            else Comparison(key, "==", value)
            for key, value in values.items()
        )
    )


def to_milvus(filter: Filter) -> str:
    """Compile to a Milvus boolean expression, every part in parentheses. Raises `BadFilter`."""
    return _compiled(filter, _DEEPEST)


def _compiled(filter: Filter, deeper: int) -> str:
    if not deeper:
        raise BadFilter(f"filters are nested more than {_DEEPEST} deep: join many with And(…) or Or(…)")
    match filter:
        case Comparison(key, operator, value):
            compared = f"{_operand(key)} {operator} {literal(value)}"
            # Engines disagree on what a missing key compares to, so it is asked for outright.
            return f"({compared})" if key == _DOCUMENT else f"(exists {_operand(key)} and {compared})"
        case Exists(key):
            return _always(True) if key == _DOCUMENT else f"(exists {_operand(key)})"
        case And(parts):
            return (
                f"({' and '.join(_compiled(part, deeper - 1) for part in parts)})" if parts else _always(True)
            )
        case Or(parts):
            return (
                f"({' or '.join(_compiled(part, deeper - 1) for part in parts)})" if parts else _always(False)
            )
        case Not(part):
            return f"(not {_compiled(part, deeper - 1)})"
        case _:
            raise BadFilter(f"got {type(filter).__name__}: build filters with rag_plugins.where(key)")


def literal(value: Scalar) -> str:
    """A value in Milvus' expression language: the one place that escapes."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value.translate(_ESCAPES)}"'
    return repr(value)


def _always(outcome: bool) -> str:
    """Milvus has no bare true and false; every row has a non-empty id."""
    return '(id != "")' if outcome else '(id == "")'


def _operand(key: str) -> str:
    return _DOCUMENT if key == _DOCUMENT else f'metadata["{key}"]'


def _checked_key(key: str) -> str:
    if not isinstance(key, str) or not _KEY.fullmatch(key):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise BadFilter(f"metadata key {key!r}: expected a name like 'year' or 'file_name' ({_KEY.pattern})")
    return key


def _checked_value(key: str, value: object) -> None:
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
        _checked_text(key, value)


def _checked_text(key: str, value: str) -> None:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadFilter(f"{key}: the value is not valid Unicode ({error.reason})") from error
    if "\0" in value:
        raise BadFilter(f"{key}: the value contains a NUL character")
