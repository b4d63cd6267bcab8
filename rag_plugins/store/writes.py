"""Writes of a tenant's rows, and of what hangs on them: long texts, tokens, prefixes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rag_plugins.errors import BadPassage
from rag_plugins.store.engine import Entity
from rag_plugins.store.entry import Entry, spilled_keys
from rag_plugins.store.prefix_fields import PrefixFields
from rag_plugins.store.rows import Rows
from rag_plugins.store.state import State
from rag_plugins.store.tokens import TokenStore

__all__ = ["Writes"]


class Writes:
    """To be called under the engine's lock: Lite admits one writer of a collection at a time."""

    def __init__(
        self, rows: Rows, state: State, tokens: TokenStore | None, prefix_fields: PrefixFields
    ) -> None:
        """`tokens` is None where none are kept."""
        self._rows = rows
        self._state = state
        self._tokens = tokens
        self._prefix_fields = prefix_fields

    def stored(self, ids: Sequence[str]) -> dict[str, str]:
        """What stored rows of these ids keep elsewhere. Raises `BadPassage` for an id of another tenant."""
        rows = self._rows.engine.get(self._rows.collection, ids, ("id", "tenant", "spilled"))
        for row in rows:
            if row["tenant"] != self._rows.tenant:
                raise BadPassage(f"passage id {row['id']} belongs to another tenant: see passage_id()")
        return {row["id"]: row["spilled"] for row in rows}

    def put(self, entries: Sequence[Entry], old: Mapping[str, str]) -> None:
        """Before the rows what they refer to, after them what no row refers to any more (`old`: `stored`)."""
        spilled = {key: text for entry in entries for key, text in entry.spilled.items()}
        before = [spilled_keys(old.get(entry.id, "")).values() for entry in entries]
        stale = {key for keys in before for key in keys}.difference(spilled)
        if spilled:
            self._state.put(spilled)
        if self._tokens:
            # No tokens are better than those of another text, if a crash comes between.
            self._tokens.delete([entry.id for entry in entries if entry.id in old])
        self.amend([entry.fields for entry in entries], partial=False)
        if self._tokens:
            self._tokens.put({entry.id: entry.tokens for entry in entries})
        if stale:
            self._state.delete(sorted(stale))

    def amend(self, rows: Sequence[Entity], *, partial: bool = True) -> None:
        """Give stored rows other values in the fields that `rows` name, and prefixes of their vectors."""
        made = self._prefix_fields.made()
        prefixes = self._prefix_fields.vectors(made, rows)
        whole = [row | more for row, more in zip(rows, prefixes, strict=True)]
        self._rows.engine.upsert(self._rows.collection, whole, partial=partial)
        self._rows.engine.flush(self._rows.collection)
        self._prefix_fields.mend([row["id"] for row in rows], made)

    def erase(self, rows: Sequence[Entity]) -> None:
        """Delete stored rows, given with id and spilled."""
        ids = [row["id"] for row in rows]
        self._rows.engine.delete(self._rows.collection, ids)
        # Without it, what was deleted shows again for a moment while a later write is flushed.
        self._rows.engine.flush(self._rows.collection)
        self._state.delete([key for row in rows for key in spilled_keys(row["spilled"]).values()])
        if self._tokens:
            self._tokens.delete(ids)
