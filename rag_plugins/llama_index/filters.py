"""Metadata filters of LlamaIndex as filters of this library."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llama_index.core.vector_stores import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
)

from rag_plugins.errors import BadFilter
from rag_plugins.faces.filters import held_by
from rag_plugins.filters import DOCUMENT, And, Comparison, Exists, Filter, Not, Or, Scalar, checked, where

__all__ = ["to_filter"]

_DOCUMENT_KEYS = frozenset({"ref_doc_id", "doc_id", "document_id"})


def to_filter(filters: MetadataFilters | Filter | None) -> Filter | None:
    """A filter that selects what SimpleVectorStore selects; None for none, and for an empty one.

    It differs where that raises: a value of another type is never equal and holds neither text nor elements;
    groups may be nested, and an empty one holds for all. And where that is an accident of Python: objects
    have no elements, not even their keys; IN, NIN, ANY and ALL take lists, the others single values. The keys
    ref_doc_id, doc_id and document_id are the document's id, which every node has: without a source its own.
    Raises `BadFilter` also for a value None, but with IS_EMPTY, and for a key that is no name.
    """
    if not isinstance(filters, MetadataFilters):
        return filters if filters is None else checked(filters)
    return checked(_group(filters)) if filters.filters else None


def _group(group: MetadataFilters) -> Filter:
    if not group.filters:
        return And(())
    parts = tuple(
        _group(part) if isinstance(part, MetadataFilters) else _part(part) for part in group.filters
    )
    match group.condition:
        case FilterCondition.AND | None:
            return And(parts)
        case FilterCondition.OR:
            return Or(parts)
        case FilterCondition.NOT:
            return Not(Or(parts))


def _part(part: MetadataFilter) -> Filter:
    key = DOCUMENT if part.key in _DOCUMENT_KEYS else part.key
    operator, value = part.operator, part.value
    if operator is FilterOperator.IS_EMPTY:
        return where(key).is_empty()
    if value is None:
        raise BadFilter(
            f"{part.key}: operator {operator.value!r} got no value; for a missing one use IS_EMPTY"
        )
    if isinstance(value, list) != (operator in _OF_LISTS):
        expected = "a list" if operator in _OF_LISTS else "a single value"
        raise BadFilter(f"{part.key}: operator {operator.value!r} got {value!r:.80}, expected {expected}")
    return (_OF_LISTS if isinstance(value, list) else _OF_VALUES)[operator](key, value)


def _among(key: str, values: Sequence[Scalar]) -> Filter:
    return where(key).is_in([same for value in values for same in _same(value)])


def _held(key: str, value: Scalar) -> Filter:
    return Or(tuple(held_by(key, same) for same in _same(value)))


def _same(value: Scalar) -> tuple[Scalar, ...]:
    """A MetadataFilter cannot hold a bool: in Python, 1 and 0 are equal to them."""
    return (value, bool(value)) if not isinstance(value, str) and value in (0, 1) else (value,)


_OF_VALUES: Mapping[FilterOperator, Callable[[str, Any], Filter]] = {
    FilterOperator.EQ: lambda key, value: _among(key, [value]),
    FilterOperator.NE: lambda key, value: Not(_among(key, [value])),
    FilterOperator.GT: lambda key, value: Comparison(key, ">", value),
    FilterOperator.GTE: lambda key, value: Comparison(key, ">=", value),
    FilterOperator.LT: lambda key, value: Comparison(key, "<", value),
    FilterOperator.LTE: lambda key, value: Comparison(key, "<=", value),
    FilterOperator.TEXT_MATCH: lambda key, text: where(key).includes(text),
    FilterOperator.TEXT_MATCH_INSENSITIVE: lambda key, text: where(key).includes(text, ignore_case=True),
    FilterOperator.CONTAINS: _held,
}
_OF_LISTS: Mapping[FilterOperator, Callable[[str, Any], Filter]] = {
    FilterOperator.IN: _among,
    FilterOperator.NIN: lambda key, values: Not(_among(key, values)),
    FilterOperator.ANY: lambda key, values: Or(tuple(_held(key, value) for value in values)),
    # All of no values are in whatever there is, but not in what is absent.
    FilterOperator.ALL: lambda key, values: And((Exists(key), *(_held(key, value) for value in values))),
}
