"""Named JSON values of any size beside a collection, in a companion collection of texts.

A value is one row, its head, or a head and further parts. Parts carry the generation of the value they
belong to, and the head is written last: a crash leaves the old value or the new one, never a mixture. The
generation ends with a checksum of the text: damaged bytes that are JSON all the same are not believed.
"""

from __future__ import annotations

import hashlib
import json
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from rag_plugins.errors import BadInput, StoreError, StoreUnavailable
from rag_plugins.filters import literal
from rag_plugins.store.codec import cut, storable
from rag_plugins.store.engine import Engine, Entity
from rag_plugins.store.indexes import index_params
from rag_plugins.store.schema import MAX_TEXT, text_table
from rag_plugins.types import JsonValue

__all__ = ["State"]

_FIELDS = ("id", "key", "generation", "part", "parts", "text")
_BATCH = 8_000_000
"""Bytes written at once."""


class State:
    """The values of one collection, all tenants alike. Reads see own writes at once."""

    def __init__(self, engine: Engine, name: str) -> None:
        """Open the companion collection `name`, or create it."""
        self._engine = engine
        self._name = name
        self._unflushed = 0
        if not engine.has(name):
            schema = text_table()
            engine.ensure(name, schema, index_params(schema, ["key"]))

    def get(self, key: str) -> JsonValue | None:
        """The value of a key, None where there is none."""
        return self._read(lambda: self._engine.get(self._name, [_id(key)], _FIELDS)).get(key)

    def get_all(self, keys: Sequence[str]) -> dict[str, JsonValue]:
        """The values of these keys; absent ones are left out."""
        return self._read(lambda: self._engine.get(self._name, [_id(key) for key in keys], _FIELDS))

    def get_many(self, prefix: str) -> dict[str, JsonValue]:
        """The values of all keys that begin so, in the order of their keys."""
        # A range, because LIKE reads _ and % in a prefix as wildcards.
        beyond = f" and key < {literal(prefix + chr(0x10FFFF))}"
        filter = f"part == 0 and key >= {literal(prefix)}{beyond}"
        values = self._read(lambda: self._engine.query(self._name, filter, _FIELDS))
        return {key: values[key] for key in sorted(values)}

    def put(self, values: Mapping[str, JsonValue]) -> None:
        """Set values, each replacing what its key had; small ones (8 MB together) become visible as one."""
        rows = [row for key, value in values.items() for row in _rows(key, value)]
        tails = [row for row in rows if row["part"]]
        with self._engine.lock:
            old = self._engine.get(self._name, [_id(key) for key in values], ["key", "parts"])
            self._write(tails)
            self._write([row for row in rows if not row["part"]])
            split = {row["key"] for row in (*tails, *old) if row["parts"] > 1}
            self._engine.delete(self._name, self._tails(split, keep={row["id"] for row in tails}))

    def delete(self, keys: Sequence[str]) -> None:
        """Remove keys with their values; absent ones do not matter."""
        with self._engine.lock:
            old = self._engine.get(self._name, [_id(key) for key in keys], ["id", "key", "parts"])
            split = {row["key"] for row in old if row["parts"] > 1}
            self._engine.delete(self._name, [*(row["id"] for row in old), *self._tails(split)])

    def _read(self, heads: Callable[[], list[Entity]]) -> dict[str, JsonValue]:
        with self._engine.lock:
            try:
                return self._values(heads())
            except StoreUnavailable:
                raise
            except StoreError:
                # On a server, another process may have replaced the value between the two reads.
                return self._values(heads())

    def _values(self, heads: Sequence[Entity]) -> dict[str, JsonValue]:
        wanted = [_id(row["key"], row["generation"], n) for row in heads for n in range(1, row["parts"])]
        tails = {row["id"]: row["text"] for row in self._engine.get(self._name, wanted, ["id", "text"])}
        return {row["key"]: self._value(row, tails) for row in heads}

    def _value(self, head: Entity, tails: Mapping[str, str]) -> JsonValue:
        ids = [_id(head["key"], head["generation"], n) for n in range(1, head["parts"])]
        try:
            text = head["text"] + "".join(tails[id] for id in ids)
            _check(head["generation"], text)
            return json.loads(text)
        except (KeyError, ValueError, RecursionError) as error:
            raise StoreError(
                f"{self._name}: value {head['key']!r} is damaged, {sum(id in tails for id in ids) + 1} of "
                f"{head['parts']} parts are readable: restore the database, or ingest again"
            ) from error

    def _write(self, rows: Sequence[Entity]) -> None:
        for batch, size in _batches(rows):
            self._engine.upsert(self._name, batch)
            self._unflushed += size
            # The log is durable by itself; flushing every small value would only make many small files.
            if self._unflushed > _BATCH:
                self._engine.flush(self._name)
                self._unflushed = 0

    def _tails(self, keys: Iterable[str], keep: Iterable[str] = ()) -> list[str]:
        """Ids of parts beyond the head, those that a crash has left behind included."""
        listed = ", ".join(map(literal, sorted(keys)))
        rows = self._engine.query(self._name, f"part > 0 and key in [{listed}]", ["id"]) if listed else []
        return sorted({row["id"] for row in rows}.difference(keep))


def _rows(key: str, value: JsonValue) -> Iterator[Entity]:
    """Head and further parts of a value."""
    if storable(key) != key or not 0 < len(key.encode()) <= MAX_TEXT:
        raise BadInput(f"key {key!r:.60}: expected 1 to {MAX_TEXT} bytes of valid Unicode without NUL")
    text = _dumps(value)
    pieces = list(cut(text, MAX_TEXT))
    generation = f"{uuid.uuid4().hex if len(pieces) > 1 else ''}/{_checksum(text)}"
    for part, piece in enumerate(pieces):
        yield {
            "id": _id(key, generation, part),
            "key": key,
            "generation": generation,
            "part": part,
            "parts": len(pieces),
            "text": piece,
            "unused": [1.0, 0.0],
        }


def _id(key: str, generation: str = "", part: int = 0) -> str:
    """A head is found by its key alone, a part only by way of its head."""
    name = f"{part}\0{generation}\0{key}" if part else key
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


def _check(generation: str, text: str) -> None:
    """Raise `ValueError` for another text than was written. Older values have no checksum."""
    _, marked, checksum = generation.partition("/")
    if marked and checksum != _checksum(text):
        raise ValueError("its text is not what was written")


def _checksum(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"


def _dumps(value: JsonValue) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise BadInput(f"state value: {error}") from error
    # Lone surrogates survive as escapes alone.
    return text if storable(text) == text else json.dumps(value, separators=(",", ":"))


def _batches(rows: Sequence[Entity]) -> Iterator[tuple[list[Entity], int]]:
    batch: list[Entity] = []
    size = 0
    for row in rows:
        length = len(row["text"].encode()) + 500
        if batch and size + length > _BATCH:
            yield batch, size
            batch, size = [], 0
        batch.append(row)
        size += length
    if batch:
        yield batch, size
