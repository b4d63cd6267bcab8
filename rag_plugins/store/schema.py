"""The layout of a collection: its fields and indexes, and what is checked before the engine sees a row."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pymilvus import CollectionSchema, DataType, MilvusClient
from pymilvus.milvus_client.index import IndexParams

from rag_plugins.errors import BadInput, BadPassage, ConfigError
from rag_plugins.store.codec import storable
from rag_plugins.types import JsonValue, Passage
from rag_plugins.vectors import FloatArray, SparseVector, truncate

__all__ = [
    "LAYOUT",
    "MAX_HITS",
    "MAX_TEXT",
    "Row",
    "VectorField",
    "bare_table",
    "checked_name",
    "index_params",
    "query_vector",
    "row_vector",
    "scope_of",
    "sparse_vector",
    "stored_metadata",
    "table",
    "text_table",
]

LAYOUT = 1
"""Raised when the fields below change their meaning."""

MAX_TEXT = 65_535
"""Bytes of UTF-8 in a text field: Milvus' limit. Lite counts characters, so nothing but we would notice."""

MAX_METADATA = 65_536
"""Bytes of JSON in the metadata field: Milvus' limit."""

MAX_HITS = 16_384
"""The most hits a search may ask for: a server's limit, silently ignored by Lite."""

_NO_TERMS = 2**32 - 2
"""The dimension of a row without terms: engines refuse empty sparse vectors. No query may name it."""

_UNIT = 1e-3
"""How far from 1 the length of a unit vector may be: half precision passes, a vector not normalised fails."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}")
_ID = re.compile(r"[0-9a-f]{64}")
_RESERVED = frozenset(
    ("id", "tenant", "doc_id", "caller_id", "metadata", "llm_text", "views", "provenance", "spilled")
)
_MAX_TENANT = 255


@dataclass(frozen=True, slots=True)
class VectorField:
    """One vector per row, named as its leg; `dim` for dense ones alone.

    `resident`: searches of a file are answered from memory. `prefix_of` names the dense field that this
    one has prefixes of, which the store makes itself.
    """

    name: str
    kind: Literal["dense", "sparse"]
    dim: int | None = None
    resident: bool = True
    prefix_of: str | None = None

    def __post_init__(self) -> None:
        checked_name(self.name)
        if self.name in _RESERVED:
            raise ConfigError(f"vector field {self.name!r}: the name is taken, one of {sorted(_RESERVED)}")
        if (self.kind == "dense") != (self.dim is not None):
            raise ConfigError(
                f"vector field {self.name}: {self.kind} with dim {self.dim}; dense ones have one"
            )


@dataclass(frozen=True, slots=True)
class Row:
    """A passage with one vector per field, and its packed token vectors where they are kept."""

    passage: Passage
    vectors: Mapping[str, FloatArray | SparseVector]
    tokens: bytes | None = None


def table(fields: Sequence[VectorField]) -> CollectionSchema:
    """The collection of passages."""
    schema = bare_table()
    schema.add_field("tenant", DataType.VARCHAR, max_length=_MAX_TENANT)
    schema.add_field("doc_id", DataType.VARCHAR, max_length=MAX_TEXT)
    schema.add_field("caller_id", DataType.VARCHAR, max_length=MAX_TEXT, nullable=True)
    schema.add_field("metadata", DataType.JSON)
    for name in ("llm_text", "views", "provenance", "spilled"):
        schema.add_field(name, DataType.VARCHAR, max_length=MAX_TEXT)
    for vector in fields:
        if vector.kind == "dense":
            schema.add_field(vector.name, DataType.FLOAT_VECTOR, dim=vector.dim)
        else:
            schema.add_field(vector.name, DataType.SPARSE_FLOAT_VECTOR)
    return schema


def text_table() -> CollectionSchema:
    """The companion collection of named texts: see `rag_plugins.store.state`."""
    schema = bare_table()
    for name in ("key", "generation", "text"):
        schema.add_field(name, DataType.VARCHAR, max_length=MAX_TEXT)
    schema.add_field("part", DataType.INT64)
    schema.add_field("parts", DataType.INT64)
    schema.add_field("unused", DataType.FLOAT_VECTOR, dim=2)  # A collection without a vector is refused.
    return schema


def bare_table() -> CollectionSchema:
    """What every collection begins with: ids of 64 hex digits."""
    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=64)
    return schema


def index_params(schema: CollectionSchema, lookups: Sequence[str]) -> IndexParams:
    """A server's indexes: its own choice for dense vectors, and for equality on `lookups`."""
    params = MilvusClient.prepare_index_params()
    for field in schema.fields:
        if field.dtype == DataType.FLOAT_VECTOR:
            params.add_index(field.name, index_type="AUTOINDEX", metric_type="IP")
        elif field.dtype == DataType.SPARSE_FLOAT_VECTOR:
            params.add_index(field.name, index_type="SPARSE_INVERTED_INDEX", metric_type="IP")
    for name in lookups:
        params.add_index(name, index_type="INVERTED")
    return params


def checked_name(name: str) -> str:
    """A name every engine takes. Raises `ConfigError`."""
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"name {name!r}: expected a letter or _, then letters, digits and _ ({_NAME.pattern})"
        )
    return name


def checked_id(passage: Passage) -> str:
    """The id, 64 hex digits. Raises `BadPassage`."""
    if not _ID.fullmatch(passage.id):
        raise BadPassage(
            f"passage id {passage.id!r} of {passage.doc_id!r}: expected 64 hex digits, see passage_id()"
        )
    return passage.id


def scope_of(tenant: str) -> str:
    """A tenant as stored: itself, or a digest where the field cannot hold it. No two tenants share one."""
    data = tenant.encode("utf-8", "surrogatepass")
    plain = tenant.isprintable() and len(data) <= _MAX_TENANT and not tenant.startswith("sha256:")
    return tenant if plain else "sha256:" + hashlib.sha256(data).hexdigest()


def row_vector(field: VectorField, row: Row) -> Any:
    """The row's vector as the engine takes it. Raises `BadPassage`."""
    try:
        if field.prefix_of:
            return truncate(np.asarray(row.vectors[field.prefix_of], np.float32), field.dim or 0).tolist()
        vector = row.vectors[field.name]
        return _sparse(field, vector) or {_NO_TERMS: 1.0} if field.kind == "sparse" else _dense(field, vector)
    except (BadInput, KeyError) as error:
        reason = f"no vector for {field.name}" if isinstance(error, KeyError) else str(error)
        raise BadPassage(f"passage {row.passage.id} of {row.passage.doc_id!r}: {reason}") from None


def query_vector(field: VectorField, vector: FloatArray | SparseVector) -> Any:
    """The query's vector as the engine takes it, None for a sparse one without terms. Raises `BadInput`."""
    if field.kind == "dense":
        return _dense(field, vector)
    weights = _sparse(field, vector)
    weights.pop(_NO_TERMS, None)
    return weights or None


def _dense(field: VectorField, vector: FloatArray | SparseVector) -> list[float]:
    if isinstance(vector, SparseVector):
        raise BadInput(f"{field.name}: got a sparse vector, expected a dense one of {field.dim} numbers")
    numbers = np.asarray(vector, np.float32)
    if numbers.shape != (field.dim,):
        raise BadInput(f"{field.name}: got shape {numbers.shape}, expected ({field.dim},)")
    length = float(np.linalg.norm(numbers))
    if not abs(length - 1.0) <= _UNIT:  # Written so that NaN fails.
        raise BadInput(f"{field.name}: the vector has length {length:.4g}, expected 1: see vectors.normalise")
    return numbers.tolist()


def _sparse(field: VectorField, vector: FloatArray | SparseVector) -> dict[int, float]:
    if not isinstance(vector, SparseVector):
        raise BadInput(f"{field.name}: got a dense vector, expected a sparse one")
    weights = vector.as_dict()
    for dimension, weight in weights.items():
        if not 0 <= dimension <= _NO_TERMS:
            raise BadInput(f"{field.name}: dimension {dimension} is outside 0..{_NO_TERMS}")
        if not (math.isfinite(weight) and weight > 0.0):
            raise BadInput(
                f"{field.name}: weight {weight} of dimension {dimension}, expected above 0 and finite"
            )
    return weights


def sparse_vector(stored: Mapping[int, float]) -> SparseVector:
    """A row's sparse vector, as the engine gives it back."""
    return SparseVector.of({int(index): value for index, value in stored.items() if index != _NO_TERMS})


def stored_metadata(passage: Passage) -> dict[str, JsonValue]:
    """The metadata as a JSON field holds it. Raises `BadPassage` for what JSON or the field cannot hold."""
    try:
        plain = _plain(passage.metadata)
        data = json.dumps(plain, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
    except (TypeError, ValueError, RecursionError) as error:
        raise BadPassage(f"metadata of passage {passage.id} of {passage.doc_id!r}: {error}") from None
    if len(data) > MAX_METADATA:
        raise BadPassage(
            f"metadata of passage {passage.id} of {passage.doc_id!r} takes {len(data)} bytes of JSON, "
            f"at most {MAX_METADATA} are possible: keep long texts in llm_text"
        )
    return plain


def _plain(value: object) -> Any:
    match value:
        case str():
            return storable(value)
        case bool() | None | float():
            return value
        case int() if -(2**63) <= value < 2**64:
            return value
        case Mapping():
            return {storable(_key(key)): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case _:
            raise TypeError(f"got {type(value).__name__} {value!r:.60}, expected JSON (integers in 64 bits)")


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise TypeError(f"got the key {key!r:.60}, expected a string")
    return key
