"""Passages with their vectors in Milvus: the same code for a file (`handbook.db`) and a server (`http://…`)."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from threading import RLock
from typing import TypeVar

from rag_plugins.config import StoreConfig
from rag_plugins.errors import BadInput, StoreError, StoreUnavailable
from rag_plugins.filters import DOCUMENT, Filter, where
from rag_plugins.funnel import Prefixes
from rag_plugins.store.address import Address
from rag_plugins.store.assets import AssetStore, asset_store
from rag_plugins.store.codec import images_in
from rag_plugins.store.engine import Engine, Entity, cut
from rag_plugins.store.entry import Entry, batches, scalars_of, with_spilled
from rag_plugins.store.generation import FILES, Generation
from rag_plugins.store.header import Header, claimed
from rag_plugins.store.nearest import Nearest
from rag_plugins.store.patience import Patience
from rag_plugins.store.prefix_fields import PrefixFields
from rag_plugins.store.prefix_records import Known, PrefixRecords
from rag_plugins.store.records import FileRecords
from rag_plugins.store.rows import PASSAGE, VIEWS, MakeVectors, Rows, Vector
from rag_plugins.store.schema import Row, VectorField, checked_tenant, scope_of
from rag_plugins.store.state import State
from rag_plugins.store.sums import passage_sum, summed
from rag_plugins.store.terms import TermTable
from rag_plugins.store.tokens import token_store
from rag_plugins.store.writes import Writes
from rag_plugins.types import JsonValue, Passage, View
from rag_plugins.vectors import Matrix, SparseVector

__all__ = ["MilvusStore"]

T = TypeVar("T")
_DEFAULTS = StoreConfig()


class MilvusStore(AbstractContextManager["MilvusStore"]):
    """One tenant's view of a collection. Safe to share between threads."""

    turn: AbstractContextManager[object] = nullcontext()
    """Held while a search works in this process: there is nothing to wait for where the engine does it."""

    def __init__(
        self,
        engine: Engine,
        header: Header,
        tenant: str,
        state: State,
        records: FileRecords | State,
        assets: AssetStore,
        config: StoreConfig = _DEFAULTS,
    ) -> None:
        """Take what `open` has made."""
        self.state = state
        self.records: FileRecords | State = records
        self.assets = assets
        self._engine = engine
        self.collection: str = header.collection
        self._fields = {field.name: field for field in header.fields}
        self._tenant = scope_of(tenant)
        self.rows: Rows = Rows(engine, self.collection, self._tenant, state)
        searched = PrefixRecords(state, self._tenant, self.shared("prefixes", Known))
        self.prefix_fields: PrefixFields = PrefixFields(
            self.rows, header.fields, searched, alone=self.is_file
        )
        self._nearest = Nearest(self.rows, self.prefix_fields, header.indexes)
        self._tokens = token_store(engine, self.collection, self._tenant, header.keep_tokens)
        self._writes = Writes(self.rows, state, self._tokens, self.prefix_fields)
        self._generation = self.shared("generation", Generation)
        left = records.get_all([FILES]).get(FILES)
        self.as_closed: bool = left is None or left == _files_of(self.collection, engine.found)
        """Whether the collection's files were those that were left, if it was closed after its last write."""
        self._writer = object()
        if isinstance(records, FileRecords):
            engine.at_end(self.collection, _noting_files(records, engine.address, self.collection))

    @classmethod
    def open(
        cls,
        uri: str | Path,
        *,
        fields: Sequence[VectorField],
        fingerprint: Mapping[str, JsonValue],
        collection: str = "passages",
        tenant: str = "",
        config: StoreConfig = _DEFAULTS,
        keep_tokens: Sequence[str] = (),
    ) -> MilvusStore:
        """Open a collection, or create it. Raises `CollectionMismatch` where it was built otherwise.

        `keep_tokens` names the legs whose token vectors are kept from now on, beside those that are already.
        Also `ConfigError`, `StoreLocked` (another process holds the file), `StoreUnavailable`, `StoreError`.
        """
        checked_tenant(tenant)
        engine = Engine(uri, config)
        try:
            header, state, records = claimed(
                engine, config, collection, fields, fingerprint, keep_tokens, tenant
            )
            assets = asset_store(config.assets, engine.address.path)
            return cls(engine, header, tenant, state, records, assets, config)
        except BaseException:
            engine.close()
            raise

    @property
    def address(self) -> str:
        """The path of a file, or the address of a server without credentials."""
        return str(self._engine.address)

    @property
    def is_file(self) -> bool:
        """Whether this process alone has the database: a file, no server."""
        return self._engine.address.path is not None

    @property
    def recovered(self) -> bool:
        """Whether whoever last had the file ended without closing it."""
        return self._engine.recovered

    def suspects(self) -> list[str]:
        """After a crash: ids of the passages that the last writes may have been of."""
        return self.rows.ids()

    @property
    def records_path(self) -> Path | None:
        """The file that tells what the collection should hold, where that is not on a server."""
        return self.records.path if isinstance(self.records, FileRecords) else None

    def patience(self) -> AbstractContextManager[Patience]:
        """Within it, calls wait for a server no longer than one of them may; see `Patience`."""
        return self._engine.patience()

    def turns(self, lock: RLock) -> AbstractContextManager[None]:
        """A lock that is held while the store is called; see `Turns`."""
        return self._engine.turns(lock)

    def shared(self, key: str, make: Callable[[], T]) -> T:
        """One object a key for all stores of this process on this tenant's collection, while any is open.

        It may not hold on to a store: the others go on when that one is closed.
        """
        return self._engine.shared((self.collection, self._tenant, key), make)

    def terms(self, leg: str) -> TermTable:
        """The dictionary of the surfaces of a leg."""
        return TermTable(self._engine, f"{self.collection}_terms", self._tenant, leg)

    def check(self, passage: Passage) -> None:
        """Raise the `BadPassage` that `upsert` would, before vectors are made for it."""
        scalars_of(passage, self._tenant)

    def upsert(self, rows: Sequence[Row]) -> dict[str, str]:
        """Insert rows, or replace those of the same id; searchable and safe from a crash on return.

        What each is, by id: see `sums`. Raises `BadPassage` before anything is written. Of one id given twice
        the last row counts.
        """
        made = [field for field in self._fields.values() if not field.prefix_of]
        given = summed(made)
        unique = {row.passage.id: row for row in rows}
        entries = [Entry.of(row, made, self._tenant) for row in unique.values()]
        with self._engine.lock:
            old = self._writes.stored(list(unique))
            for batch in batches(entries):
                with self._changing([entry.id for entry in batch]):
                    self._write(batch, old)
        return {entry.id: passage_sum(with_spilled(entry.fields, entry.spilled), given) for entry in entries}

    def sums(self, ids: Sequence[str]) -> dict[str, str]:
        """What stored passages are, by id, as the engine has them now: 16 hex digits of texts, 16 of vectors.

        Missing ones are left out; one whose texts are lost has "". Read from the engine, not from memory.
        """
        return {id: sum for id, (sum, _) in self.contents(ids).items()}

    def contents(self, ids: Sequence[str]) -> dict[str, tuple[str, frozenset[str]]]:
        """The same, and the ids of the images that each passage refers to."""
        fields = summed(self._fields.values())
        rows = self.rows.get(ids, (*PASSAGE, *(field.name for field in fields)))
        texts = self.rows.spilled(rows)
        return {row["id"]: _content(row, texts, fields) for row in rows}

    def prefixes(self, field: str) -> Prefixes | None:
        """How a dense field is searched; None: exactly."""
        return self.prefix_fields.active(field)

    def set_prefixes(self, field: str, prefixes: Prefixes | None) -> None:
        """Search a dense field so from now on, for all who open the tenant's collection."""
        self.prefix_fields.set(field, prefixes)

    def matrix(self, field: str, ids: Sequence[str]) -> Matrix:
        """The vectors that passages have in a dense field, (n, dim), in the order of `ids`."""
        return self.rows.matrix(field, self._fields[field].dim or 0, ids)

    def search(
        self, field: str, vector: Vector, limit: int, filter: Filter | None = None, *, exact: bool = False
    ) -> list[tuple[str, float]]:
        """(id, inner product) of the nearest passages, higher is better, ties by id. Raises `BadInput`.

        A passage without a vector in the field is never among them. A dense field that has `prefixes` is
        searched by them; `exact` leaves them out.
        """
        if field not in self._fields:
            raise BadInput(f"field {field!r}: the collection has {', '.join(self._fields)}")
        prefixes = None if exact or self.is_file else self.prefixes(field)
        return self._nearest.search(self._fields[field], vector, limit, filter, prefixes)

    def fetch(self, ids: Sequence[str]) -> dict[str, Passage]:
        """Passages by id, in the order of `ids`; missing ones are left out."""
        return self.rows.passages(ids)

    def page(self, doc_id: str, page: int) -> list[Passage]:
        """The passages of a page of a document that was read from a file."""
        return list(self.fetch(self.ids((where("doc_id") == doc_id) & (where("page") == page))).values())

    def views(self, ids: Sequence[str]) -> dict[str, tuple[View, ...]]:
        """What retrieval reads of passages, by id. Far faster than `fetch`, which builds every word.

        A passage whose long texts are lost is left out, as a missing one: it can still be replaced.
        """
        return {id: passage.views for id, passage in self.rows.passages(ids, VIEWS, strict=False).items()}

    def values(self, ids: Sequence[str], key: str) -> dict[str, str]:
        """What passages have under a metadata key, as JSON, or their "doc_id"; those without are left out."""
        where(key)  # Raises `BadFilter` for what is no key.
        found = self.rows.passages(ids, VIEWS).items()
        if key == DOCUMENT:
            return {id: passage.doc_id for id, passage in found}
        return {
            id: json.dumps(value, sort_keys=True)
            for id, passage in found
            if (value := passage.metadata.get(key)) is not None
        }

    def vectors(self, field: str, ids: Sequence[str]) -> dict[str, SparseVector]:
        """The stored vectors of a sparse field by id; missing ones are left out. Raises `BadInput`."""
        if field not in self._fields or self._fields[field].kind != "sparse":
            raise BadInput(f"field {field!r}: expected a sparse one of {', '.join(self._fields)}")
        return self.rows.sparse(field, ids)

    def fetch_tokens(self, name: str, ids: Sequence[str]) -> dict[str, bytes]:
        """Packed token vectors of a leg by id; missing ones are left out."""
        return self._tokens.get(name, list(dict.fromkeys(ids))) if self._tokens else {}

    def delete(self, ids: Sequence[str]) -> int:
        """Delete passages; how many there were."""
        with self._engine.lock:
            if rows := self.rows.get(ids, ("id", "tenant", "spilled")):
                with self._changing([row["id"] for row in rows]):
                    self._erase(rows)
            return len(rows)

    def confidences(self, ids: Sequence[str]) -> dict[str, float]:
        """How sure recognition was of passages, 0 to 1, by id, of those that were recognised."""
        return self.rows.confidences(ids)

    def ids(self, filter: Filter | None = None, field: str | None = None) -> list[str]:
        """Ids of the tenant's passages, ascending; `field`: of those with a vector in this dense field."""
        return self.rows.ids(filter, field)

    def count(self, field: str | None = None) -> int:
        """How many passages the tenant has; `field`: with a vector in this dense field."""
        return self.rows.count(field)

    def scan(self, batch: int = 512) -> Iterator[list[Passage]]:
        """Every passage of the tenant there was at the start and still is, ascending by id."""
        for ids in cut(self.ids(), batch):
            yield list(self.fetch(ids).values())

    def rewrite(self, field: str, make: MakeVectors) -> None:
        """Give every passage of the tenant a new vector in one sparse field.

        `make` gets passages without provenance. After a crash in the middle, call it again.
        """
        for batch in cut(self.ids()):
            with self._engine.lock:
                self._of_those_left(batch, lambda ids: self._renew(self._fields[field], ids, make))

    def retext(self, passages: Sequence[Passage]) -> dict[str, str]:
        """Give stored passages another `llm_text`, provenance and metadata.

        The first halves of what they are now (see `sums`), by id of those that were there. Ids, views and
        vectors stay as they are. Raises `BadPassage` before anything is written.
        """
        given = self._writes.checked(passages)
        told: dict[str, str] = {}
        for batch in cut(list(given)):
            with self._engine.lock:
                told |= self._of_those_left(batch, lambda ids: self._retell(ids, given))
        return told

    def begin(self) -> None:
        """Before a change is recorded, and made: the files will not be those that were left.

        Who is killed in between leaves a record of what was not done yet, and no damage.
        """
        if isinstance(self.records, FileRecords) and not (begun := self.shared("begun", set[str])):
            self.records.put({FILES: None})
            begun.add(FILES)

    def settle(self) -> None:
        """After a run of writes: what is worth doing once and not with every one of them."""

    def close(self) -> None:
        """Free the file for other processes, once no other store of this process uses it. Idempotent."""
        if self._tokens:
            self._tokens.close()
        if isinstance(self.records, FileRecords):
            self.records.close()
        self._engine.close()

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"MilvusStore({str(self._engine.address)!r}, collection={self.collection!r})"

    def _renew(self, field: VectorField, ids: Sequence[str], make: MakeVectors) -> None:
        rows = self.rows.with_vectors(field, ids, make)
        with self._changing([row["id"] for row in rows]):
            self._writes.amend(rows)
            self._amended([row["id"] for row in rows], field)

    def _retell(self, ids: Sequence[str], given: Mapping[str, Passage]) -> dict[str, str]:
        stored = self.rows.passages(ids, VIEWS)
        if not stored:
            return {}
        with self._changing(list(stored)):
            told = self._writes.retext(stored, given)
            self._amended(list(stored))
        return told

    def _of_those_left(self, ids: Sequence[str], write: Callable[[Sequence[str]], T]) -> T:
        """Write parts of rows; again where another process has just deleted one: then none was written."""
        try:
            return write(ids)
        except StoreUnavailable:
            raise
        except StoreError:
            there = {row["id"] for row in self.rows.get(ids, ("id", "tenant"))}
            if there.issuperset(ids):
                raise
            return self._of_those_left([id for id in ids if id in there], write)

    def _write(self, entries: Sequence[Entry], old: Mapping[str, str]) -> None:
        self._writes.put(entries, old)

    def _erase(self, rows: Sequence[Entity]) -> None:
        self._writes.erase(rows)

    def _amended(self, ids: Sequence[str], field: VectorField | None = None) -> None:
        """Stored rows have changed in the engine, in one field or in their texts."""

    @contextmanager
    def _changing(self, ids: Sequence[str]) -> Generator[None]:
        """Around every change of rows, under the lock: a copy of them that another store keeps is old now."""
        if self._generation.owner is not self._writer:
            self._generation.renew(self.state, self.records, self._tenant, self._writer)
        yield


def _content(
    row: Entity, texts: Mapping[str, JsonValue], fields: Sequence[VectorField]
) -> tuple[str, frozenset[str]]:
    try:
        whole = with_spilled(row, texts)
        return passage_sum(whole, fields), images_in(whole)
    except (
        StoreError,
        ValueError,
        TypeError,
    ):  # A long text of it is lost, or what it has is no row of ours.
        return "", frozenset()


def _noting_files(records: FileRecords, address: Address, collection: str) -> Callable[[], None]:
    def note() -> None:
        if records.path.exists():
            with suppress(StoreError):  # Without it every passage is compared when the file is opened.
                records.put({FILES: _files_of(collection, address.files())})
            records.close()

    return note


def _files_of(collection: str, files: Mapping[str, int]) -> JsonValue:
    """Those of a collection and of its state."""
    folders = f"collections/{collection}/", f"collections/{collection}_state/"
    return {name: size for name, size in files.items() if name.startswith(folders)}
