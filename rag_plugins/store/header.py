"""What a collection was built with, recorded beside it and compared whenever it is opened."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from rag_plugins.errors import CollectionMismatch, StoreError
from rag_plugins.store.engine import Engine
from rag_plugins.store.indexes import index_params
from rag_plugins.store.schema import LAYOUT, VectorField, table
from rag_plugins.store.state import State
from rag_plugins.types import JsonValue

__all__ = ["Header", "claim"]

_KEY = "header"
_ABSENT = "nothing"
_REPAIRED_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Header:
    """Collection, vector fields, what the vectors depend on, and whether token vectors are kept."""

    collection: str
    fields: tuple[VectorField, ...]
    fingerprint: Mapping[str, JsonValue]
    keep_tokens: bool

    def to_json(self) -> dict[str, JsonValue]:
        """As it is recorded."""
        fields: dict[str, JsonValue] = {
            field.name: {"kind": field.kind, "dim": field.dim} for field in self.fields
        }
        return {
            "layout": LAYOUT,
            "collection": self.collection,
            "fields": fields,
            "fingerprint": dict(self.fingerprint),
            "keep_tokens": self.keep_tokens,
        }


def claim(engine: Engine, state: State, wanted: Header) -> Header:
    """Open the collection as `wanted`, or create it. Raises `CollectionMismatch`, `StoreError`.

    Token vectors may be kept from now on; a collection that keeps them goes on.
    """
    recorded = state.get(_KEY)
    if recorded is None:
        _create(engine, wanted)
    else:
        _check(engine, wanted, recorded)
        engine.load(wanted.collection)
        if engine.recovered:
            _repair(engine, wanted.collection)
        keeps = isinstance(recorded, dict) and recorded.get("keep_tokens") is True
        wanted = replace(wanted, keep_tokens=keeps or wanted.keep_tokens)
    if recorded != wanted.to_json():
        state.put({_KEY: wanted.to_json()})  # Last: a collection without a header was never used.
    return wanted


def _create(engine: Engine, wanted: Header) -> None:
    name = wanted.collection
    if engine.has(name):
        engine.load(name)
        rows = engine.count(name)
        if rows:
            raise CollectionMismatch(
                f"collection {name!r} on {engine.address} holds {rows} rows and no record of how they were "
                "made: it is not one of ours, or its record is lost. Choose another collection name"
            )
        engine.drop(name)
    schema = table(wanted.fields)
    engine.create(name, schema, index_params(schema, ["tenant", "doc_id"]))


def _repair(engine: Engine, name: str) -> None:
    """Write again, as one, the rows that Lite has twice: in a segment, and in the log it was made from."""
    copies = Counter(engine.ids(name, 'id != ""'))
    twice = [id for id, number in copies.items() if number > 1]
    for start in range(0, len(twice), _REPAIRED_AT_ONCE):
        engine.upsert(name, engine.get(name, twice[start : start + _REPAIRED_AT_ONCE], ["*"]))
    engine.flush(name)


def _check(engine: Engine, wanted: Header, recorded: JsonValue) -> None:
    name = wanted.collection
    ignored = {"keep_tokens", "collection"}
    found = {key: value for key, value in _flat(recorded).items() if key not in ignored}
    expected = {key: value for key, value in _flat(wanted.to_json()).items() if key not in ignored}
    lines = [
        f"  {key}: found {found.get(key, _ABSENT)}, expected {expected.get(key, _ABSENT)}"
        for key in sorted(found | expected)
        if found.get(key) != expected.get(key)
    ]
    if lines:
        raise CollectionMismatch(
            f"collection {name!r} on {engine.address} was built with other settings than these "
            "(found: in the collection, expected: by this configuration):\n"
            + "\n".join(lines)
            + "\nOpen it with the settings it was built with, or ingest into a collection of another name"
        )
    if not engine.has(name):
        raise StoreError(
            f"collection {name!r} on {engine.address} is gone, its record {name}_state is there: restore the "
            "database, or choose another collection name and ingest again"
        )


def _flat(value: JsonValue, path: str = "") -> dict[str, str]:
    """Values by dotted key, as JSON: what can differ, one line each."""
    if isinstance(value, dict) and value:
        below = (_flat(item, f"{path}.{key}" if path else key) for key, item in value.items())
        return {key: text for item in below for key, text in item.items()}
    return {path: json.dumps(value, ensure_ascii=False)}
