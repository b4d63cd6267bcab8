"""Rows made ready for the engine: checked, in its types, and what is too long for a field put aside."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rag_plugins.errors import BadPassage, StoreError
from rag_plugins.store.codec import TEXTS, encode, storable
from rag_plugins.store.schema import MAX_TEXT, Row, VectorField, absent_fields, checked_id, row_vector
from rag_plugins.types import JsonValue, Passage

__all__ = ["Entry", "batches", "scalars_of", "spilled_keys", "stored_metadata", "with_spilled"]

_BATCH_BYTES = 8_000_000
"""A server takes 64 MB in one message."""

_BATCH_ROWS = 512


MAX_METADATA = 65_536
"""Bytes of JSON in the metadata field: Milvus' limit."""


@dataclass(frozen=True, slots=True)
class Entry:
    """The engine's fields of a row, texts too long for them by key, its tokens, and about how large it is."""

    id: str
    fields: dict[str, Any]
    spilled: dict[str, JsonValue]
    tokens: Mapping[str, bytes]
    size: int

    @classmethod
    def of(cls, row: Row, fields: Sequence[VectorField], tenant: str) -> Entry:
        """Raises `BadPassage` for what cannot be stored."""
        scalars, spilled = scalars_of(row.passage, tenant)
        scalars["absent"] = absent_fields(fields, row)
        vectors = {field.name: row_vector(field, row) for field in fields}
        size = len(str(scalars)) + sum(12 * len(vector) for vector in vectors.values())
        return cls(row.passage.id, scalars | vectors, spilled, row.tokens, size)


def scalars_of(passage: Passage, tenant: str) -> tuple[dict[str, Any], dict[str, JsonValue]]:
    """A row's fields but for its vectors, and the texts too long for them. Raises `BadPassage`."""
    id = checked_id(passage)
    texts, spilled = _spill(id, _texts(passage))
    scalars: dict[str, Any] = {
        "id": id,
        "tenant": tenant,
        "doc_id": _name("doc_id", passage.doc_id),
        "caller_id": None if passage.caller_id is None else _name("caller_id", passage.caller_id),
        "metadata": stored_metadata(passage),
        "confidence": passage.provenance and passage.provenance.confidence,
        **texts,
    }
    return scalars, spilled


def batches(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """Few enough rows and bytes for one message."""
    batch: list[Entry] = []
    size = 0
    for entry in entries:
        if batch and (size + entry.size > _BATCH_BYTES or len(batch) == _BATCH_ROWS):
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += entry.size
    if batch:
        yield batch


def spilled_keys(spilled: str) -> dict[str, str]:
    """{field: key} of the texts that a row keeps elsewhere."""
    return json.loads(spilled) if spilled else {}


def with_spilled(row: Mapping[str, Any], texts: Mapping[str, JsonValue]) -> dict[str, Any]:
    """The row with its long texts in place. Raises `StoreError` for one that is lost."""
    keys = spilled_keys(row["spilled"])
    lost = [field for field, key in keys.items() if key not in texts]
    if lost:
        raise StoreError(f"row {row['id']} has lost its {', '.join(lost)}: ingest its document again")
    return {**row, **{field: texts[key] for field, key in keys.items()}}


def _texts(passage: Passage) -> dict[str, str]:
    try:
        return encode(passage)
    except (ValueError, OverflowError, TypeError) as error:
        raise BadPassage(f"passage {passage.id} of {passage.doc_id!r}: {error}") from error


def _spill(id: str, texts: Mapping[str, str]) -> tuple[dict[str, str], dict[str, JsonValue]]:
    """Texts that fit, and by key those that do not."""
    long = {name: text for name, text in texts.items() if len(text.encode()) > MAX_TEXT}
    # The digest keeps the texts of an old row and of the new one apart until the row itself changes.
    keys = {name: f"text/{id}/{name}/{_digest(text)}" for name, text in long.items()}
    short = {name: "" if name in long else texts[name] for name in TEXTS}
    return short | {"spilled": json.dumps(keys) if keys else ""}, {
        keys[name]: text for name, text in long.items()
    }


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _name(field: str, value: str) -> str:
    text = storable(value)
    if len(text.encode()) > MAX_TEXT:
        raise BadPassage(
            f"{field} {text[:80]!r}… takes {len(text.encode())} bytes, at most {MAX_TEXT} are possible"
        )
    return text


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
