"""Writes of a tenant's rows, and of what hangs on them: long texts, tokens, prefixes."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from rag_plugins.errors import BadPassage
from rag_plugins.store.engine import Entity
from rag_plugins.store.entry import Entry, scalars_of, spilled_keys, with_spilled
from rag_plugins.store.prefix_fields import PrefixFields
from rag_plugins.store.rows import Rows
from rag_plugins.store.state import State
from rag_plugins.store.sums import text_sum
from rag_plugins.store.tokens import TokenStore
from rag_plugins.types import JsonValue, Passage

__all__ = ["Writes"]

_TOLD = ("id", "tenant", "llm_text", "provenance", "metadata", "confidence", "spilled")


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
        # Of all tenants: what is not looked for is not refused.
        rows = self._rows.engine.get(self._rows.collection, ids, ("id", "tenant", "spilled"))
        for row in rows:
            if row["tenant"] != self._rows.tenant:
                raise BadPassage(f"passage id {row['id']} belongs to another tenant: see passage_id()")
        return {row["id"]: row["spilled"] for row in rows}

    def put(self, entries: Sequence[Entry], old: Mapping[str, str]) -> None:
        """Insert or replace whole rows; `old` is what `stored` has said of them."""
        spilled = {key: text for entry in entries for key, text in entry.spilled.items()}
        with self._spilling(spilled, [old.get(entry.id, "") for entry in entries]):
            if self._tokens:
                # No tokens are better than those of another text, if a crash comes between.
                self._tokens.delete([entry.id for entry in entries if entry.id in old])
            self.amend([entry.fields for entry in entries], partial=False)
            if self._tokens:
                self._tokens.put({entry.id: entry.tokens for entry in entries})

    def checked(self, passages: Iterable[Passage]) -> dict[str, Passage]:
        """By id. Raises `BadPassage` for what cannot be stored."""
        return {scalars_of(passage, self._rows.tenant)[0]["id"]: passage for passage in passages}

    def retext(self, stored: Mapping[str, Passage], given: Mapping[str, Passage]) -> dict[str, str]:
        """Give these rows texts and metadata of what is given by id, and leave views, vectors and tokens.

        What their texts are now, by id: see `text_sum`.
        """
        made = [scalars_of(_retold(old, given[id]), self._rows.tenant) for id, old in stored.items()]
        spilled = {key: text for _, texts in made for key, text in texts.items()}
        with self._spilling(spilled, self.stored(list(stored)).values()):
            self.amend([{name: scalars[name] for name in _TOLD} for scalars, _ in made])
        return {scalars["id"]: text_sum(with_spilled(scalars, texts)) for scalars, texts in made}

    @contextmanager
    def _spilling(self, texts: Mapping[str, JsonValue], old: Iterable[str]) -> Generator[None]:
        """Around a write: before it what rows will refer to, after it what none does any more."""
        before = {key for spilled in old for key in spilled_keys(spilled).values()}
        if texts:
            self._state.put(texts)
        yield
        if stale := before.difference(texts):
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
        self._rows.engine.delete(self._rows.collection, ids, self._rows.own)
        # Without it, what was deleted shows again for a moment while a later write is flushed.
        self._rows.engine.flush(self._rows.collection)
        self._state.delete([key for row in rows for key in spilled_keys(row["spilled"]).values()])
        if self._tokens:
            self._tokens.delete(ids)


def _retold(passage: Passage, other: Passage) -> Passage:
    return replace(passage, llm_text=other.llm_text, provenance=other.provenance, metadata=other.metadata)
