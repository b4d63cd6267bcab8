"""What a collection was built with, recorded beside it and compared whenever it is opened."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import sleep
from typing import Any, cast

from rag_plugins.config import IndexConfig, StoreConfig
from rag_plugins.errors import CollectionMismatch, ConfigError, StoreError, StoreUnavailable
from rag_plugins.store.engine import Engine
from rag_plugins.store.indexes import Indexes, index_params, layout
from rag_plugins.store.records import FileRecords, Records, records_of
from rag_plugins.store.schema import LAYOUT, PARTITIONS, VectorField, checked_name, table
from rag_plugins.store.state import State
from rag_plugins.types import JsonValue

__all__ = ["Header", "admit", "claimed", "recorded_legs"]

_KEY = "header"
_ABSENT = "nothing"
_REPAIRED_AT_ONCE = 100

_LOOKS, _BETWEEN = 50, 0.2
"""How often, and every how many seconds, is looked for the header of a collection that is being made."""

_ABSENT_LOOKS = 5
"""Looks after which a collection that is not there is not being made."""

_TOO_MANY = re.compile(r"maximum vector field's number should be limited to (\d+)")
"""What a server says of more fields with vectors than its setting proxy.maxVectorFieldNum allows."""


@dataclass(frozen=True, slots=True)
class Header:
    """Collection, vector fields, what these depend on, legs whose token vectors are kept, indexes set.

    `tenants`: it was made with one, and nobody opens it without.
    """

    collection: str
    fields: tuple[VectorField, ...]
    fingerprint: Mapping[str, JsonValue]
    keep_tokens: tuple[str, ...]
    indexes: Indexes = field(default_factory=dict[str, IndexConfig])
    tenants: bool = False

    def to_json(self) -> dict[str, JsonValue]:
        """As it is recorded."""
        return {
            "layout": LAYOUT,
            "collection": self.collection,
            "fields": {field.name: _recorded(field) for field in self.fields},
            "fingerprint": dict(self.fingerprint),
            "keep_tokens": list(self.keep_tokens),
            "indexes": {name: index.model_dump(exclude={"search"}) for name, index in self.indexes.items()},
            **({"tenants": True} if self.tenants else {}),
        }


def claimed(
    engine: Engine,
    config: StoreConfig,
    collection: str,
    fields: Sequence[VectorField],
    fingerprint: Mapping[str, JsonValue],
    keep_tokens: Sequence[str],
    tenant: str = "",
) -> tuple[Header, State, FileRecords | State]:
    """Open the collection with these settings, or create it: what it has in the end, its state and records.

    Raises `CollectionMismatch`, `StoreError`, `ConfigError` as `admit` and for more legs than a server has.
    Token vectors may be kept from now on; a collection that keeps them goes on. Its prefix fields, and the
    indexes of fields that have no setting, are those it was made with.
    """
    name = checked_name(collection)
    stored, indexes = layout(fields, config, file=bool(engine.address.path), lite=engine.lite)
    state = State(engine, f"{name}_state")
    wanted = Header(name, stored, dict(fingerprint), tuple(map(checked_name, keep_tokens)), indexes)
    records = records_of(engine, name, state)
    return _claim(engine, state, records, replace(wanted, tenants=bool(tenant))), state, records


def admit(state: State, collection: str, tenant: str) -> None:
    """Raises `ConfigError` where the collection was made with tenants and is to be opened without one.

    One that was made without takes tenants too, each with passages of its own: the empty name is a tenant
    like any other, who sees what was stored under it and nothing else.
    """
    _admit(state.get(_KEY), collection, tenants=bool(tenant))


def recorded_legs(state: State) -> tuple[str, ...]:
    """The legs that a collection was made with, as its state has them."""
    recorded = cast("dict[str, Any]", state.get(_KEY) or {})
    return tuple(recorded.get("fingerprint", {}))


def _claim(engine: Engine, state: State, records: Records, wanted: Header) -> Header:
    found = recorded = state.get(_KEY)
    there = found is None and engine.has(wanted.collection)
    if there:
        # Lite may have lost the rows of its state: they are recorded apart from it, too. On a server somebody
        # else may be just making the collection, and has not said so yet.
        recorded = (
            records.get_all([_KEY]).get(_KEY) if engine.address.path else _awaited(engine, state, wanted)
        )
    made = None
    if recorded is None:
        try:
            if there:
                _clear(engine, state, wanted.collection)
            # Where somebody else has just done so Lite refuses, and a server takes what is alike.
            made = _create(engine, wanted)
        except StoreUnavailable:
            raise
        except StoreError:
            recorded = None if engine.address.path else _awaited(engine, state, wanted)
            if recorded is None:
                raise
        else:
            recorded = state.get(_KEY)
    if made is None or recorded is not None:
        made = _opened(engine, wanted, recorded)
    if found != made.to_json():
        records.put({_KEY: made.to_json()})
        state.put({_KEY: made.to_json()})  # Last: a collection without a header was never used.
    return made


def _opened(engine: Engine, wanted: Header, recorded: JsonValue) -> Header:
    _admit(recorded, wanted.collection, tenants=wanted.tenants)
    wanted = _goes_on(wanted, recorded)
    _check(engine, wanted, recorded)
    engine.load(wanted.collection)
    if engine.recovered:
        _repair(engine, wanted.collection)
    return wanted


def _awaited(engine: Engine, state: State, wanted: Header) -> JsonValue | None:
    """The header of who is just making the collection; None where it has rows, or nobody is making it."""
    absent = 0
    for _ in range(_LOOKS):
        if (found := state.get(_KEY)) is not None:
            return found
        absent += not engine.has(wanted.collection)
        sleep(_BETWEEN)  # Lite's server may open a collection twice that is read while it is being made.
        if absent > _ABSENT_LOOKS or _rows(engine, wanted.collection):
            return state.get(_KEY)  # Rows come after a header.
    return None


def _rows(engine: Engine, name: str) -> int:
    """None are told of while it is being made."""
    try:
        engine.load(name)
        return engine.count(name)
    except StoreUnavailable:
        raise
    except StoreError:
        return 0


def _admit(recorded: JsonValue, collection: str, *, tenants: bool) -> None:
    if _with_tenants(recorded) and not tenants:
        raise ConfigError(
            f"collection {collection!r} was made with tenants, and is opened without one: say whose passages "
            "are meant (tenant=, --tenant)"
        )


def _goes_on(wanted: Header, recorded: JsonValue) -> Header:
    """`wanted`, and what is settled when a collection is made as it is recorded."""
    if not isinstance(recorded, dict):
        return wanted
    stored = cast("dict[str, Any]", recorded)
    prefixes = [
        VectorField(name, resident=False, **kept)
        for name, kept in stored.get("fields", {}).items()
        if kept.get("prefix_of")
    ]
    fields = (*(field for field in wanted.fields if not field.prefix_of), *prefixes)
    names = {field.name for field in fields}
    made = {name: IndexConfig(**kept) for name, kept in stored.get("indexes", {}).items()}
    set_now = {name: index for name, index in wanted.indexes.items() if name in names}
    keeps = tuple(dict.fromkeys((*stored.get("keep_tokens", ()), *wanted.keep_tokens)))
    tenants = _with_tenants(recorded)
    return replace(wanted, fields=fields, indexes={**made, **set_now}, keep_tokens=keeps, tenants=tenants)


def _clear(engine: Engine, state: State, name: str) -> None:
    """Drop a collection that somebody began and never finished: there for long, without header or rows."""
    if not engine.has(name):
        return
    engine.load(name)
    rows = engine.count(name)
    if rows:
        raise CollectionMismatch(
            f"collection {name!r} on {engine.address} holds {rows} rows and no record of how they were "
            "made: it is not one of ours, or its record is lost. Choose another collection name"
        )
    if state.get(_KEY) is not None:
        raise StoreError(f"collection {name!r} on {engine.address} has just been made: open it again")
    engine.drop(name)


def _create(engine: Engine, wanted: Header) -> Header:
    try:
        _make(engine, wanted)
    except StoreError as error:
        limit = _TOO_MANY.search(str(error))
        if not limit:
            raise
        wanted = _with_fewer(wanted, int(limit[1]))
        _make(engine, wanted)
    return wanted


def _make(engine: Engine, wanted: Header) -> None:
    # Lite takes a partition key too, but then keeps each tenant's few rows in files of their own.
    partitioned = wanted.tenants and not engine.lite
    schema = table(wanted.fields, partitioned=partitioned)
    indexes = index_params(schema, ["tenant", "doc_id"], wanted.indexes)
    engine.create(wanted.collection, schema, indexes, PARTITIONS if partitioned else None)


def _with_fewer(wanted: Header, limit: int) -> Header:
    """As many prefix fields as a server allows, the narrowest of each leg first: that one saves the most."""
    legs = [field for field in wanted.fields if not field.prefix_of]
    prefixes = sorted((field for field in wanted.fields if field.prefix_of), key=lambda field: field.dim or 0)
    if len(legs) > limit:
        raise ConfigError(
            f"collection {wanted.collection!r} needs {len(legs)} fields with vectors, one a leg; the server "
            f"allows {limit}: raise its setting proxy.maxVectorFieldNum, or use fewer legs"
        )
    seen = Counter[str | None]()
    ranks: dict[str, int] = {}
    for prefix in prefixes:
        ranks[prefix.name] = seen[prefix.prefix_of]
        seen[prefix.prefix_of] += 1
    kept = sorted(prefixes, key=lambda field: ranks[field.name])[: limit - len(legs)]
    fields = (*legs, *kept)
    names = {field.name for field in fields}
    return replace(
        wanted,
        fields=fields,
        indexes={name: index for name, index in wanted.indexes.items() if name in names},
    )


def _repair(engine: Engine, name: str) -> None:
    """Write again, as one, the rows that Lite has twice: in a segment, and in the log it was made from."""
    copies = Counter(engine.ids(name, 'id != ""'))
    twice = [id for id, number in copies.items() if number > 1]
    for start in range(0, len(twice), _REPAIRED_AT_ONCE):
        engine.upsert(name, engine.get(name, twice[start : start + _REPAIRED_AT_ONCE], ["*"]))
    engine.flush(name)


def _check(engine: Engine, wanted: Header, recorded: JsonValue) -> None:
    name = wanted.collection
    found, expected = _compared(recorded), _compared(wanted.to_json())
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


def _recorded(field: VectorField) -> JsonValue:
    """A field as it is recorded; what is as usual is left out."""
    unusual = {"prefix_of": field.prefix_of or "", "precision": field.precision.replace("float32", "")}
    return {"kind": field.kind, "dim": field.dim, **{key: value for key, value in unusual.items() if value}}


def _with_tenants(recorded: JsonValue) -> bool:
    """Collections from before this was recorded are open to all who know a tenant's name, as they were."""
    return isinstance(recorded, dict) and bool(recorded.get("tenants"))


def _compared(header: JsonValue) -> dict[str, str]:
    ignored = {"keep_tokens", "collection", "indexes", "tenants"}
    return {key: value for key, value in _flat(header).items() if key not in ignored}


def _flat(value: JsonValue, path: str = "") -> dict[str, str]:
    """Values by dotted key, as JSON: what can differ, one line each."""
    if isinstance(value, dict) and value:
        below = (_flat(item, f"{path}.{key}" if path else key) for key, item in value.items())
        return {key: text for item in below for key, text in item.items()}
    return {path: json.dumps(value, ensure_ascii=False)}
