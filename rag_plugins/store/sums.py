"""What a stored passage is, in 32 hex digits: 16 of its texts, 16 of its vectors.

Term weights and prefixes are left out: they are made anew from texts and vectors.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rag_plugins.store.codec import TEXTS, dumps
from rag_plugins.store.schema import VectorField, dense_vector, sparse_vector
from rag_plugins.types import JsonValue

__all__ = ["passage_sum", "summed", "text_sum"]

_SIZE = 8


def summed(fields: Iterable[VectorField]) -> list[VectorField]:
    """The fields whose vectors count."""
    return [field for field in fields if not field.prefix_of and (field.kind == "dense" or field.resident)]


def passage_sum(row: Mapping[str, Any], fields: Sequence[VectorField]) -> str:
    """Of a row as the engine takes or gives it, its long texts in place (see `with_spilled`)."""
    return text_sum(row) + _hash(part for field in fields for part in _vector(field, row))


def text_sum(row: Mapping[str, Any]) -> str:
    """The first half: of what the row says."""
    said = [row["doc_id"], row["caller_id"], _plain(row["metadata"]), *(row[name] for name in TEXTS)]
    return _hash([dumps(said).encode("utf-8", "surrogatepass")])


def _vector(field: VectorField, row: Mapping[str, Any]) -> Iterable[bytes]:
    yield f"/{field.name}/".encode()
    if field.kind == "dense":
        yield dense_vector(row[field.name]).astype("<f4").tobytes()
    else:
        vector = sparse_vector(row[field.name])
        yield vector.indices.astype("<u4").tobytes()
        yield vector.values.astype("<f4").tobytes()


def _hash(parts: Iterable[bytes]) -> str:
    found = hashlib.blake2b(digest_size=_SIZE)
    for part in parts:
        found.update(part)
    return found.hexdigest()


def _plain(value: JsonValue) -> JsonValue:
    """Metadata whatever the order of its keys, and whether an engine gives 1 back as 1 or as 1.0."""
    match value:
        case dict():
            return {key: _plain(value[key]) for key in sorted(value)}
        case list():
            return [_plain(item) for item in value]
        case bool() | None | str():
            return value
        case int() | float():
            return float(value)
