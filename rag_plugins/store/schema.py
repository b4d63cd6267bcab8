"""The layout of a collection: its fields and indexes, and what is checked before the engine sees a row."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from pymilvus import CollectionSchema, DataType, MilvusClient

from rag_plugins.errors import BadInput, BadPassage, ConfigError
from rag_plugins.types import Passage
from rag_plugins.vectors import FloatArray, SparseVector

__all__ = [
    "LAYOUT",
    "MAX_HITS",
    "MAX_TEXT",
    "Row",
    "VectorField",
    "PARTITIONS",
    "absent_fields",
    "bare_table",
    "checked_id",
    "checked_name",
    "checked_tenant",
    "dense_vector",
    "engine_vector",
    "is_id",
    "query_vector",
    "row_vector",
    "scope_of",
    "sparse_vector",
    "table",
    "text_table",
]

LAYOUT = 2
"""Raised when the fields below change their meaning."""

MAX_TEXT = 65_535
"""Bytes of UTF-8 in a text field: Milvus' limit. Lite counts characters, so nothing but we would notice."""

MAX_HITS = 16_384
"""The most hits a search may ask for: a server's limit, silently ignored by Lite."""

PARTITIONS = 16
"""Of a server's collection with tenants, who share them by hash: each costs it segments of its own."""

_NO_TERMS = 2**32 - 2
"""The dimension of a row without terms: engines refuse empty sparse vectors. No query may name it."""

_UNIT = 1e-3
"""How far from 1 the length of a unit vector may be: half precision passes, a vector not normalised fails."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}")
_ID = re.compile(r"[0-9a-f]{64}")
_TEXTS = ("llm_text", "views", "provenance", "spilled")
_RESERVED = frozenset(("id", "tenant", "doc_id", "caller_id", "metadata", "confidence", "absent", *_TEXTS))
_MOST_FIELDS = 64
_MAX_TENANT = 255


@dataclass(frozen=True, slots=True)
class VectorField:
    """One vector per row, named as its leg; `dim` for dense ones alone.

    `resident`: searches of a file are answered from memory. `prefix_of` names the dense field that this
    one has prefixes of, which the store makes itself. `precision`: of dense numbers in the engine.
    """

    name: str
    kind: Literal["dense", "sparse"]
    dim: int | None = None
    resident: bool = True
    prefix_of: str | None = None
    precision: Literal["float32", "float16"] = "float32"

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
    """A passage with a vector per field whose view it has, and packed token vectors by leg."""

    passage: Passage
    vectors: Mapping[str, FloatArray | SparseVector]
    tokens: Mapping[str, bytes] = field(default_factory=dict[str, bytes])


def table(fields: Sequence[VectorField], *, partitioned: bool = False) -> CollectionSchema:
    """The collection of passages; `partitioned`: by tenants, of which a search then reads few others."""
    schema = bare_table()
    schema.add_field("tenant", DataType.VARCHAR, max_length=_MAX_TENANT, is_partition_key=partitioned)
    schema.add_field("doc_id", DataType.VARCHAR, max_length=MAX_TEXT)
    schema.add_field("caller_id", DataType.VARCHAR, max_length=MAX_TEXT, nullable=True)
    schema.add_field("metadata", DataType.JSON)
    schema.add_field("confidence", DataType.FLOAT, nullable=True)
    schema.add_field(
        "absent", DataType.ARRAY, element_type=DataType.VARCHAR, max_capacity=_MOST_FIELDS, max_length=200
    )
    for name in _TEXTS:
        schema.add_field(name, DataType.VARCHAR, max_length=MAX_TEXT)
    for vector in fields:
        if vector.kind == "dense":
            kind = DataType.FLOAT16_VECTOR if vector.precision == "float16" else DataType.FLOAT_VECTOR
            schema.add_field(vector.name, kind, dim=vector.dim)
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


def checked_name(name: str) -> str:
    """A name every engine takes. Raises `ConfigError`."""
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"name {name!r}: expected a letter or _, then letters, digits and _ ({_NAME.pattern})"
        )
    return name


def is_id(text: str) -> bool:
    """Whether a passage can be called so: 64 hex digits."""
    return _ID.fullmatch(text) is not None


def checked_id(passage: Passage) -> str:
    """The id, 64 hex digits. Raises `BadPassage`."""
    if not _ID.fullmatch(passage.id):
        raise BadPassage(
            f"passage id {passage.id!r} of {passage.doc_id!r}: expected 64 hex digits, see passage_id()"
        )
    return passage.id


def checked_tenant(tenant: object) -> str:
    """The tenant itself. Raises `ConfigError` for what is no string: None is not "all of them"."""
    if not isinstance(tenant, str):
        raise ConfigError(
            f"tenant {tenant!r:.80}: expected a string that names whose passages these are; leave it out "
            "where the collection has no tenants"
        )
    return tenant


def scope_of(tenant: str) -> str:
    """A tenant as stored: itself, or a digest where the field cannot hold it. No two tenants share one."""
    data = checked_tenant(tenant).encode("utf-8", "surrogatepass")
    plain = tenant.isprintable() and len(data) <= _MAX_TENANT and not tenant.startswith("sha256:")
    return tenant if plain else "sha256:" + hashlib.sha256(data).hexdigest()


def row_vector(field: VectorField, row: Row) -> Any:
    """The row's vector as the engine takes it; zeros, or no terms, where it has none. Raises `BadPassage`."""
    vector = row.vectors.get(field.name)
    try:
        if field.kind == "sparse":
            return ({} if vector is None else _sparse(field, vector)) or {_NO_TERMS: 1.0}
        numbers = np.zeros(field.dim or 0, np.float32) if vector is None else _dense(field, vector)
        return engine_vector(field, numbers)
    except BadInput as error:
        raise BadPassage(f"passage {row.passage.id} of {row.passage.doc_id!r}: {error}") from None


def absent_fields(fields: Sequence[VectorField], row: Row) -> list[str]:
    """The dense fields that the row has no vector in. Raises `BadPassage` for vectors that no field takes."""
    unknown = sorted(row.vectors.keys() - {field.name for field in fields})
    if unknown:
        raise BadPassage(
            f"passage {row.passage.id} of {row.passage.doc_id!r}: vectors for {', '.join(unknown)}; "
            f"the collection has {', '.join(field.name for field in fields)}"
        )
    return [field.name for field in fields if field.kind == "dense" and field.name not in row.vectors]


def query_vector(field: VectorField, vector: FloatArray | SparseVector) -> Any:
    """The query's vector as the engine takes it, None for a sparse one without terms. Raises `BadInput`."""
    if field.kind == "dense":
        return engine_vector(field, _dense(field, vector))
    weights = _sparse(field, vector)
    weights.pop(_NO_TERMS, None)
    return weights or None


def engine_vector(field: VectorField, numbers: FloatArray) -> Any:
    """Dense numbers as the engine takes them for a field."""
    return numbers.astype(np.float16) if field.precision == "float16" else numbers.tolist()


def dense_vector(stored: Any) -> FloatArray:
    """A row's dense vector, as the engine gives it back: numbers, or the bytes of float16."""
    if isinstance(stored, list) and stored and isinstance(stored[0], bytes):
        stored = stored[0]
    if isinstance(stored, bytes):
        return np.frombuffer(stored, np.float16).astype(np.float32)
    return np.asarray(stored, np.float32)


def _dense(field: VectorField, vector: FloatArray | SparseVector) -> FloatArray:
    if isinstance(vector, SparseVector):
        raise BadInput(f"{field.name}: got a sparse vector, expected a dense one of {field.dim} numbers")
    numbers = np.asarray(vector, np.float32)
    if numbers.shape != (field.dim,):
        raise BadInput(f"{field.name}: got shape {numbers.shape}, expected ({field.dim},)")
    length = float(np.linalg.norm(numbers))
    if not abs(length - 1.0) <= _UNIT:  # Written so that NaN fails.
        raise BadInput(f"{field.name}: the vector has length {length:.4g}, expected 1: see vectors.normalise")
    return numbers


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
    indices = np.fromiter(stored.keys(), np.uint32, len(stored))
    values = np.fromiter(stored.values(), np.float32, len(stored))
    order = np.argsort(indices)
    order = order[indices[order] != _NO_TERMS]
    return SparseVector(indices[order], values[order])
