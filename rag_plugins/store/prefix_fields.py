"""Prefix fields: made of a tenant's vectors, kept true by all who write, made anew as a whole.

A server searches a funnel's narrow stages in fields that hold prefixes of another field's vectors. While
they are made anew, for another rotation, their record says that not all are whole, and the search is exact;
it stays so after a crash in the middle, until someone sets prefixes again.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from rag_plugins.errors import ConfigError, StoreError, StoreUnavailable
from rag_plugins.funnel import Prefixes
from rag_plugins.store.engine import cut
from rag_plugins.store.prefix_records import Made, PrefixRecords, generation_of
from rag_plugins.store.rows import Rows
from rag_plugins.store.schema import VectorField, engine_vector
from rag_plugins.vectors import FloatArray, Matrix

__all__ = ["PrefixFields"]

_REFRESH = 5.0
"""Seconds between looks at what others have recorded."""

_BATCH = 512

_ATTEMPTS = 5
"""Times that a batch is made again because others have changed or deleted its rows meanwhile."""


class PrefixFields:
    """The prefix fields of one tenant. Without any, as in most files, it keeps records alone."""

    def __init__(
        self, rows: Rows, fields: Iterable[VectorField], records: PrefixRecords, *, alone: bool
    ) -> None:
        """`alone`: no other process reads or writes the collection."""
        self._rows = rows
        self._fields = {field.name: field for field in fields if field.kind == "dense"}
        self._records = records
        self._alone = alone

    def of(self, field: str) -> dict[int, VectorField]:
        """The prefix fields of a dense field by their width, narrowest first."""
        found = {other.dim or 0: other for other in self._fields.values() if other.prefix_of == field}
        return dict(sorted(found.items()))

    def widths(self, field: str) -> tuple[int, ...] | None:
        """The widths that stages below the last may have; None for any."""
        return None if self._alone else tuple(self.of(field))

    def active(self, field: str) -> Prefixes | None:
        """How a dense field is searched, as of five seconds ago at most; None: exactly.

        None also where a server's collection lacks the fields: the prefixes were set in a file.
        """
        if not self._alone and not self.of(field):
            return None
        prefixes = self._records.recent(field, float("inf") if self._alone else _REFRESH).prefixes
        return None if prefixes and self._missing(field, prefixes) else prefixes

    def unfinished(self, field: str) -> bool:
        """Whether prefixes were being made anew and are not: now, or when a process ended."""
        return not self._records.read(field).whole

    def set(self, field: str, prefixes: Prefixes | None) -> None:
        """Search a field so from now on; for another rotation, once all prefixes are made anew.

        Raises `ConfigError` for widths that the collection has no fields for.
        """
        before = self._records.read(field)
        if prefixes is None:
            self._records.write(field, replace(before, funnel=None))
            return
        self._check(field, prefixes)
        made = Made(generation_of(prefixes.rotation), prefixes.rotation, True, prefixes.funnel)
        again = made.generation != before.generation or not before.whole
        if not self.of(field) or not again or self._remake(field, made, searched=bool(before.prefixes)):
            self._records.write(field, made)

    def made(self) -> dict[str, Made]:
        """How the prefixes of new rows are to be made, by dense field: asked before and after a batch."""
        names = dict.fromkeys(field.prefix_of for field in self._fields.values() if field.prefix_of)
        return {field: self._records.read(field) for field in names if field}

    def vectors(self, made: Mapping[str, Made], rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The prefix fields of rows, of the full vectors that all or none of them have."""
        added: list[dict[str, Any]] = [{} for _ in rows]
        for field, way in made.items():
            if not rows or field not in rows[0]:
                continue
            matrix = np.array([row[field] for row in rows], np.float32)
            for entity, prefixes in zip(added, self._cut(field, way, matrix), strict=True):
                entity.update(prefixes)
        return added

    def mend(self, ids: Sequence[str], made: Mapping[str, Made]) -> None:
        """After a batch was written: make its prefixes again where the rotation has become another."""
        while True:
            now = self.made()
            changed = [field for field, way in now.items() if way.generation != made[field].generation]
            if not changed:
                return
            for field in changed:
                self._fill(field, ids, now[field])
            made = now

    def _remake(self, field: str, made: Made, *, searched: bool) -> bool:
        """All of the tenant's prefixes anew; whether they are still wanted so at the end."""
        self._records.write(field, replace(made, whole=False))
        if searched and not self._alone:
            # Until no reader searches by the old ones any more: it would find them mixed with new ones.
            time.sleep(_REFRESH)
        for batch in cut(self._rows.ids(), _BATCH):
            with self._rows.engine.lock:
                self._fill(field, batch, made)
                self.mend(batch, {**self.made(), field: made})
            if not self._wanted(field, made):
                return False
        return self._wanted(field, made)

    def _wanted(self, field: str, made: Made) -> bool:
        """Whether nobody else has begun to make them otherwise."""
        now = self._records.read(field)
        if now.generation != made.generation and now.whole:
            self._records.write(field, replace(now, whole=False))  # Some of ours may be among theirs.
        return now.generation == made.generation

    def _fill(self, field: str, ids: Sequence[str], made: Made) -> None:
        """Prefixes of stored rows, of the vectors that they have at the end."""
        left = list(ids)
        for _ in range(_ATTEMPTS):
            before = self._rows.dense(field, left)
            try:
                self._write(field, made, before)
                after = before if self._alone else self._rows.dense(field, left)
            except StoreUnavailable:
                raise
            except StoreError:
                after = self._rows.dense(field, left)
                if before.keys() == after.keys():
                    raise
                before = {}  # One of them was deleted meanwhile, so that none was written.
            left = [id for id, vector in after.items() if not np.array_equal(vector, before.get(id, ()))]
            if not left:
                return
        raise StoreError(f"the prefixes of {len(left)} rows could not be made: others keep changing them")

    def _write(self, field: str, made: Made, vectors: Mapping[str, FloatArray]) -> None:
        if vectors:
            prefixes = self._cut(field, made, np.stack(list(vectors.values())))
            known = {"tenant": self._rows.tenant}
            rows = [{"id": id, **known, **prefix} for id, prefix in zip(vectors, prefixes, strict=True)]
            self._rows.engine.upsert(self._rows.collection, rows, partial=True)
            self._rows.engine.flush(self._rows.collection)

    def _cut(self, field: str, made: Made, matrix: Matrix) -> list[dict[str, Any]]:
        cuts = [(other, made.cut(matrix, width)) for width, other in self.of(field).items()]
        return [
            {other.name: engine_vector(other, prefixes[n]) for other, prefixes in cuts}
            for n in range(len(matrix))
        ]

    def _missing(self, field: str, prefixes: Prefixes) -> list[int]:
        """Widths that a server has no field for; a file needs none."""
        has = {self._fields[field].dim, *self.of(field)}
        widths = [stage.width for stage in prefixes.funnel.stages]
        return [] if self._alone else [width for width in widths if width not in has]

    def _check(self, field: str, prefixes: Prefixes) -> None:
        dim = self._fields[field].dim or 0
        prefixes.funnel.check(dim)
        if missing := self._missing(field, prefixes):
            there = ", ".join(map(str, self.of(field))) or "none"
            raise ConfigError(
                f"{prefixes.funnel}: the collection has no prefixes of {field} of width "
                f"{', '.join(map(str, missing))}, only {there}. A server's are settled when "
                "the collection is made: ingest into a new one"
            )
        rotation = prefixes.rotation
        widest = max((stage.width for stage in prefixes.funnel.stages if stage.width < dim), default=0)
        if rotation and (rotation.dim != dim or rotation.width < widest):
            raise ConfigError(
                f"{field}: the rotation takes {rotation.dim} numbers to {rotation.width}, "
                f"expected {dim} to at least {widest}"
            )
