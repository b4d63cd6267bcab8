"""Filters as users of LangChain's vector stores write them, as filters of this library."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from rag_plugins.errors import BadFilter
from rag_plugins.faces.filters import held_by
from rag_plugins.filters import And, Comparison, Exists, Filter, Not, Or, checked, where

__all__ = ["to_filter"]


def to_filter(filter: Filter | Mapping[str, Any] | None) -> Filter | None:
    """A filter of `where(...)` as it is; a mapping by key, all of which hold; None for none, and for {}.

        {"kind": "manual", "language": ["en", "zh"]}          # equality; a list means any of them
        {"year": {"$gte": 2020, "$lt": 2024}, "tags": {"$contains": "pump"}}
        {"$or": [{"draft": {"$exists": False}}, {"$not": {"status": {"$in": ["draft", "old"]}}}]}

    $ne, $nin and $not hold for Documents without the key; $contains means an element of a list or a part of a
    string. Raises `BadFilter` for None as a value, for operators it does not know, and for empty parts.
    """
    if isinstance(filter, Mapping) and not filter:
        return None
    return None if filter is None else checked(_filter(filter))


def _filter(given: Any) -> Filter:
    if not isinstance(given, Mapping):
        return checked(given)
    entries = cast("Mapping[Any, Any]", given)
    if not entries:
        raise BadFilter("got an empty part of a filter, which would hold for everything: leave it out")
    return And(tuple(_entry(key, value) for key, value in entries.items()))


def _entry(key: Any, value: Any) -> Filter:
    if isinstance(key, str) and key.startswith("$"):
        return _looked_up(_JOINING, key)(value)
    if isinstance(value, Mapping):
        return _asked(key, cast("Mapping[Any, Any]", value))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return where(key).is_in(cast("Sequence[Any]", value))
    return Comparison(key, "==", value)


def _asked(key: str, operators: Mapping[Any, Any]) -> Filter:
    if not operators:
        raise BadFilter(f"{key}: got {{}}, expected operators ({', '.join(_ASKING)})")
    return And(tuple(_looked_up(_ASKING, name)(key, value) for name, value in operators.items()))


def _looked_up(table: Mapping[str, Callable[..., Filter]], name: Any) -> Callable[..., Filter]:
    if name not in table:
        raise BadFilter(f"operator {name!r}: expected one of {', '.join(table)}")
    return table[name]


def _several(name: str, given: Any) -> Sequence[Any]:
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise BadFilter(f"{name}: got {given!r:.80}, expected a list")
    return cast("Sequence[Any]", given)


def _parts(name: str, given: Any) -> tuple[Filter, ...]:
    parts = _several(name, given)
    if not parts:
        raise BadFilter(f"{name}: got no parts, expected one or more")
    return tuple(map(_filter, parts))


def _exists(key: str, wanted: Any) -> Filter:
    if not isinstance(wanted, bool):
        raise BadFilter(f"{key}: $exists got {wanted!r:.80}, expected True or False")
    return Exists(key) if wanted else Not(Exists(key))


_JOINING: Mapping[str, Callable[[Any], Filter]] = {
    "$and": lambda given: And(_parts("$and", given)),
    "$or": lambda given: Or(_parts("$or", given)),
    "$not": lambda given: Not(_filter(given)),
}
_ASKING: Mapping[str, Callable[[str, Any], Filter]] = {
    "$eq": lambda key, value: Comparison(key, "==", value),
    "$ne": lambda key, value: Not(Comparison(key, "==", value)),
    "$gt": lambda key, value: Comparison(key, ">", value),
    "$gte": lambda key, value: Comparison(key, ">=", value),
    "$lt": lambda key, value: Comparison(key, "<", value),
    "$lte": lambda key, value: Comparison(key, "<=", value),
    "$in": lambda key, values: where(key).is_in(_several(f"{key}: $in", values)),
    "$nin": lambda key, values: Not(where(key).is_in(_several(f"{key}: $nin", values))),
    "$exists": _exists,
    "$contains": held_by,
    "$not": lambda key, given: Not(_entry(key, given)),
}
