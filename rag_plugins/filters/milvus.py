"""Filters in Milvus' expression language."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from rag_plugins.errors import BadFilter
from rag_plugins.filters.expressions import (
    DOCUMENT,
    And,
    Comparison,
    Contains,
    EmptyList,
    Exists,
    Filter,
    Includes,
    Not,
    Or,
    Scalar,
    checked,
)

__all__ = ["Dialect", "literal", "may_include", "to_milvus"]

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"})
_HOSTILE = re.compile(r"[%_\\]")
"""What a pattern would not take for itself. Lite knows no escapes in patterns, so that none are used."""


def _unread(part: Includes) -> str:
    raise BadFilter(
        f"{part.key}: Milvus has no expression for {part.text!r} within a text"
        f"{' whatever its case' if part.ignore_case else ''}: ask a store, which knows the texts there are"
    )


@dataclass(frozen=True, slots=True)
class Dialect:
    """What an expression needs to know of the engine that it is for."""

    lite: bool = False
    """Milvus Lite takes JSON in a string for JSON, and array_length of a field alone."""

    instead: Callable[[Includes], str] = _unread
    """An expression for what the language has none for, made of what a look at the rows has found."""


_SERVER = Dialect()


def to_milvus(filter: Filter, dialect: Dialect = _SERVER) -> str:
    """Compile to a Milvus boolean expression, every part in parentheses. Raises `BadFilter`."""
    return _compiled(checked(filter), dialect)


def _compiled(filter: Filter, dialect: Dialect) -> str:
    match filter:
        case And(parts):
            return _joined(" and ", parts, dialect) if parts else _always(True)
        case Or(parts):
            return _joined(" or ", parts, dialect) if parts else _always(False)
        case Not(part):
            return f"(not {_compiled(part, dialect)})"
        case Comparison(key, operator, value):
            return _asked(key, f"{_operand(key)} {operator} {literal(value)}")
        case Exists(key):
            return _always(True) if key == DOCUMENT else f"(exists {_operand(key)})"
        case Contains(key, value):
            return _contains(key, value, dialect)
        case EmptyList(key):
            return _always(False) if key == DOCUMENT else _empty(_operand(key), dialect)
        case Includes(_, text, ignore_case):
            if ignore_case or _HOSTILE.search(text):
                return dialect.instead(filter)
            return may_include(filter)


def _joined(word: str, parts: Iterable[Filter], dialect: Dialect) -> str:
    return f"({word.join(_compiled(part, dialect) for part in parts)})"


def _contains(key: str, value: Scalar, dialect: Dialect) -> str:
    if key == DOCUMENT:
        return _always(False)
    held = f"json_contains_any({_operand(key)}, [{', '.join(map(literal, _spellings(value)))}])"
    return _asked(key, f"{held} and {_no_text(_operand(key))}" if dialect.lite else held)


def _spellings(value: Scalar) -> list[Scalar]:
    """A number that is an integer, also as a float: among elements, servers do not take one for the other."""
    if isinstance(value, bool | str) or value != int(value) or float(value) != value:
        return [value]
    return [value, *(other for other in (int(value), float(value)) if type(other) is not type(value))]


def _empty(operand: str, dialect: Dialect) -> str:
    if not dialect.lite:
        return f"(exists {operand} and array_length({operand}) == 0)"
    # That all of nothing is in it is true of any list. One that begins with null passes for empty.
    return f"(json_contains_all({operand}, []) and {_no_text(operand)} and (not (exists {operand}[0])))"


def _no_text(operand: str) -> str:
    return f'(not ({operand} like "%"))'


def may_include(part: Includes) -> str:
    """An expression for what it holds for and, where the language cannot say it, for more."""
    pattern = "" if part.ignore_case else _HOSTILE.sub("_", part.text)
    return _asked(part.key, f"{_operand(part.key)} like {literal(f'%{pattern}%' if pattern else '%')}")


def literal(value: Scalar) -> str:
    """A value in Milvus' expression language: the one place that escapes."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value.translate(_ESCAPES)}"'
    return repr(value)


def _asked(key: str, condition: str) -> str:
    # Engines disagree on what a missing key compares to, so it is asked for outright.
    return f"({condition})" if key == DOCUMENT else f"(exists {_operand(key)} and {condition})"


def _always(outcome: bool) -> str:
    """Milvus has no bare true and false; every row has a non-empty id."""
    return '(id != "")' if outcome else '(id == "")'


def _operand(key: str) -> str:
    return DOCUMENT if key == DOCUMENT else f'metadata["{key}"]'
