"""A tenant's rows in the memory of the one process that has the file, as true as the file itself.

    write:  journal (ids) -> Lite -> payload -> table
    open:   snapshot, then the rows that the journal names; or all rows, where these do not fit the file

What shows that they fit is a chain of generations: the snapshot's, those the journal goes on to, and the last
of these is the one that the collection's state has. Whoever changes rows without the journal breaks it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from rag_plugins.errors import StoreError
from rag_plugins.funnel import Prefixes
from rag_plugins.resident.batch import FieldKind
from rag_plugins.resident.rows import Table
from rag_plugins.store.engine import Entity
from rag_plugins.store.generation import Generation
from rag_plugins.store.local.journal import Journal
from rag_plugins.store.local.loading import described, read_all, refresh, restored
from rag_plugins.store.local.payload import Payload
from rag_plugins.store.local.sections import Sections
from rag_plugins.store.local.snapshots import Content, Snapshots
from rag_plugins.store.local.source import Source, batch_of

__all__ = ["Memory"]

_SHARE = 0.02
"""The snapshot is written anew when this share of rows has changed: of 100,000, they are read in .4 s."""

_FEW = 256
"""While others use the file, fewer changes than these wait."""

_logger = logging.getLogger(__name__)


class Memory:
    """Shared by all stores of a process on a tenant's collection. Searches wait for no writer."""

    def __init__(self, folder: Path, fields: Mapping[str, FieldKind], generation: Generation) -> None:
        """Nothing is read yet; the folder is made with the first file."""
        self.payload: Payload = Payload(folder / "payload.sqlite")
        self._users = 0
        self._folder = folder
        self._fields = fields
        self._generation = generation
        self._journal = Journal(folder / "journal")
        self._snapshots = Snapshots(folder)
        self.sections: Sections = Sections(self._snapshots)
        self._snapshot: str | None = None
        self._announced = False
        self._changes = 0
        self._table: Table | None = None
        self.read_again: list[str] | None = None
        """When it was loaded: ids that had changed since the snapshot; None where all rows were read."""
        self._doubtful: dict[str, None] = {}

    def enter(self, source: Source) -> None:
        """One more store uses it: from now on the rows are in memory."""
        with source.lock:
            self.table(source)
            self._users += 1

    def leave(self, source: Source) -> None:
        """The last one saves what is due, and lets go of rows and files."""
        with source.lock:
            self._users -= 1
        try:
            if not self._users:
                # Not under the lock: who is asked for a section may wait for whoever holds it.
                self.settle(source, last=True)
        finally:
            with source.lock:
                if not self._users:
                    self._table = None
                    self.payload.close()
                    self._journal.close()

    def table(self, source: Source) -> Table:
        """All rows as they are: what a failed write has left in doubt is read again first."""
        table = self._table
        if table is None or self._doubtful or self._generation.owner is not self:
            with source.lock:
                table = self._settled(source)
        return table

    @contextmanager
    def changing(self, ids: Sequence[str], source: Source) -> Generator[None]:
        """Around a change of these rows in Lite and here, under the lock."""
        self.table(source)
        self._announce(ids, source)
        try:
            yield
        except BaseException:
            self._doubtful = self._doubtful | dict.fromkeys(ids)
            raise

    def put(self, rows: Sequence[Entity]) -> None:
        """These rows, whole, are in Lite now."""
        self.payload.put(rows)
        self._change(lambda table: table.put(batch_of(rows, self._fields)))

    def remove(self, ids: Sequence[str]) -> None:
        """These are not any more."""
        self.payload.delete(ids)
        self._change(lambda table: table.remove(ids))

    def refresh(self, ids: Sequence[str], source: Source) -> None:
        """Read these rows again."""
        self._change(Table.relocate)
        self._change(lambda table: refresh(table, ids, self._fields, source, self.payload))

    def set_prefixes(self, field: str, prefixes: Prefixes | None) -> None:
        """Search a dense field so from now on."""
        self._change(lambda table: table.set_prefixes(field, prefixes))

    def kept(self, section: str) -> Content | None:
        """See `ResidentStore.kept`."""
        return self.sections.kept(self._snapshot, section) if self._snapshot else None

    @property
    def changed(self) -> list[str]:
        """See `ResidentStore.changed`."""
        return self._journal.ids

    def settle(self, source: Source, *, last: bool = False) -> None:
        """After a run of writes: write a snapshot where it is due. What fails is logged, no more."""
        changed = len(self._journal)
        few = 0 if last else _FEW
        if self._snapshot is None:
            due = bool(changed or self._table) and changed >= few
        else:
            due = changed > max(_SHARE * len(self._table or ()), few)
        try:
            if due:
                self._save(source)
            elif self.sections.unsaved:
                self._save_sections(source)
        except StoreError as error:
            _logger.warning("no snapshot of what is in memory could be written: %s", error)

    def _settled(self, source: Source) -> Table:
        if self._table is None or self._generation.owner is not self:
            self._table = None  # First, to have room for both.
            self._table = self._loaded(source)
            self._doubtful = {}
            self._generation.owner = self
            self._table.warm()
        if self._doubtful:
            self.refresh(list(self._doubtful), source)
            self._doubtful = {}
        assert self._table is not None  # noqa: S101
        return self._table

    def _loaded(self, source: Source) -> Table:
        try:
            if (table := self._restored(source)) is not None:
                return table
        except StoreError as error:
            _logger.warning("the rows are read anew: %s", error)
        self._snapshot, self._announced = None, False
        self.read_again = None
        self._journal.begin(None)
        self.payload.clear()
        # What others have made of the rows until now is of other rows.
        self.sections.clear()
        self._table = read_all(self._fields, source, self.payload)
        self._generation.owner = self
        self.settle(source, last=True)
        return self._table

    def _restored(self, source: Source) -> Table | None:
        """The snapshot with what has changed since. Raises `StoreError` where it is not that of the file."""
        found = self._snapshots.load()
        if found is None:
            return None
        generation, content = found
        self._journal.resume(generation)
        stored = Generation.stored(source.state, source.tenant)
        if self._journal.generation != stored:
            raise StoreError(f"others have written to the file since the snapshot in {self._folder} was made")
        table = restored(content, self._fields, source)
        if self.payload.mark not in self._journal.generations:
            self.payload.clear()
            self.payload.mark = generation
        self.read_again = self._journal.ids
        refresh(table, self.read_again, self._fields, source, self.payload)
        if not source.has(len(table)):
            raise StoreError(f"the snapshot in {self._folder} and the file differ in the number of rows")
        self._snapshot, self._announced = generation, False
        self.sections.outdated()
        return table

    def _change(self, change: Callable[[Table], None]) -> None:
        assert self._table is not None  # noqa: S101
        try:
            change(self._table)
        except BaseException:
            self._table = None  # Half changed: it is loaded again.
            raise

    def _announce(self, ids: Sequence[str], source: Source) -> None:
        """The generation is another before the first change after a snapshot; ids are noted before all."""
        if not self._announced:
            generation = uuid4().hex
            self._note(lambda: self._journal.link(generation))
            self._renew(source, generation)
            self._announced = True
        before = self._journal.generation
        self._note(lambda: self._journal.add(ids))
        if self._journal.generation != before:
            self._renew(source, uuid4().hex)
        self._changes += 1

    def _note(self, note: Callable[[], None]) -> None:
        try:
            note()
        except OSError as error:
            _logger.warning("%s: %s; the rows will be read anew when the file is opened", self._folder, error)

    def _renew(self, source: Source, generation: str) -> None:
        self._generation.renew(source.state, source.records, source.tenant, self, generation)

    def _save(self, source: Source) -> None:
        """A crash in the middle leaves the old snapshot with its journal, or the new one."""
        changes = self._changes
        # Outside the lock, which those who answer may wait for elsewhere.
        contents = self.sections.dumped()
        with source.lock:
            table = self.table(source)
            generation = uuid4().hex
            self._note(lambda: self._journal.link(generation))
            self._renew(source, generation)
            self.payload.mark = generation
            self._snapshots.save(generation, described(table, self._fields))
            self._journal.begin(generation)
            self._snapshot, self._announced = generation, False
            self.sections.outdated()
            if changes == self._changes:
                self.sections.save(generation, contents)
            table.warm()

    def _save_sections(self, source: Source) -> None:
        """To the snapshot there is. They may be of later rows: what has changed is read again anyway."""
        generation = self._snapshot
        contents = self.sections.dumped(self.sections.unsaved)
        with source.lock:
            if generation and generation == self._snapshot:
                self.sections.save(generation, contents)
