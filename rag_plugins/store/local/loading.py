"""A tenant's rows into memory: from a snapshot and what has changed since, or from the rows themselves."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from time import perf_counter
from typing import Any

from tqdm import tqdm

from rag_plugins.errors import StoreError
from rag_plugins.funnel import Prefixes
from rag_plugins.resident.batch import FieldKind
from rag_plugins.resident.rows import Table
from rag_plugins.store.local.payload import Payload
from rag_plugins.store.local.snapshots import Content
from rag_plugins.store.local.source import Source, batch_of
from rag_plugins.text import digest
from rag_plugins.types import JsonValue

__all__ = ["described", "read_all", "refresh", "restored"]

_BATCH = 512
"""Rows read at once. Lite looks them up by id, 90 ms for so many; longer pages only take more memory."""

_logger = logging.getLogger(__name__)

Fields = Mapping[str, FieldKind]


def described(table: Table, fields: Fields) -> Content:
    """A table for a snapshot."""
    return table.arrays(), {name: _field(kind, table.prefixes(name)) for name, kind in fields.items()}


def restored(content: Content, fields: Fields, source: Source) -> Table:
    """The table of a snapshot, searched as the collection is now. Raises `StoreError` where it cannot be."""
    arrays, found = content
    wanted = _searched(fields, source)
    expected = {name: _field(kind, wanted.get(name)) for name, kind in fields.items()}
    if not isinstance(found, dict) or _kinds(found) != _kinds(expected):
        raise StoreError(f"the snapshot is of the fields {_kinds(found)}, expected {_kinds(expected)}")
    same = {name: prefixes for name, prefixes in wanted.items() if found[name] == expected[name]}
    try:
        table = Table.of(arrays, fields, same)
        for name in wanted.keys() - same.keys():
            table.set_prefixes(name, wanted[name])
        return table
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise StoreError(f"the snapshot is not one of these fields ({error!r})") from error


def read_all(fields: Fields, source: Source, payload: Payload) -> Table:
    """All rows, which takes a minute for 250,000; a bar shows where it is."""
    started = perf_counter()
    table = Table(fields)
    for name, prefixes in _searched(fields, source).items():
        table.set_prefixes(name, prefixes)
    ids = source.rows.ids()
    for batch in _shown(ids):
        refresh(table, batch, fields, source, payload)
    if ids:
        _logger.info("%d passages read into memory in %.1f s", len(table), perf_counter() - started)
    return table


def refresh(table: Table, ids: Sequence[str], fields: Fields, source: Source, payload: Payload) -> None:
    """Read these rows again; those that are not there any more go."""
    for batch in _batches(ids):
        there = {row["id"]: row for row in source.read(batch, tuple(fields))}
        whole = {row["id"]: row for row in source.whole(list(there.values()), strict=False)}
        payload.delete([id for id in batch if id not in whole])
        payload.put(whole.values())
        table.remove(id for id in batch if id not in there)
        table.put(batch_of(list(there.values()), fields))


def _searched(fields: Fields, source: Source) -> dict[str, Prefixes | None]:
    return {name: source.prefixes(name) for name, kind in fields.items() if kind.dim is not None}


def _field(kind: FieldKind, prefixes: Prefixes | None) -> JsonValue:
    stages = prefixes and digest(json.dumps(prefixes.to_json()))
    return {"dim": kind.dim, "precision": kind.precision, "prefixes": stages}


def _kinds(found: Any) -> JsonValue:
    """What a snapshot is of, without what can be made anew from it."""
    if not isinstance(found, dict):
        return None
    return {name: {**field, "prefixes": None} for name, field in found.items()}


def _shown(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    with tqdm(total=len(ids), unit=" passages", desc="reading into memory", leave=False, disable=None) as bar:
        for batch in _batches(ids):
            yield batch
            bar.update(len(batch))


def _batches(ids: Sequence[str]) -> Iterable[Sequence[str]]:
    return (ids[start : start + _BATCH] for start in range(0, len(ids), _BATCH))
