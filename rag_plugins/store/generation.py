"""A name for what a tenant's rows are at present, by which a copy of them knows that it has grown old."""

from __future__ import annotations

from uuid import uuid4

from rag_plugins.store.records import Records
from rag_plugins.store.state import State
from rag_plugins.text import digest

__all__ = ["FILES", "Generation"]

FILES = "files"
"""The key of what is recorded of a database's files when it is closed, and not while it is written."""


class Generation:
    """Kept in a collection's state, and renewed before rows change by whoever has not done so last.

    Stores of one process share one: `owner` is whoever knows of all changes so far, None where nobody does.
    """

    def __init__(self) -> None:
        self.owner: object | None = None

    def renew(
        self, state: State, records: Records, tenant: str, owner: object, value: str | None = None
    ) -> None:
        """Another one, or the one given; `tenant` as it is stored. Others are not the owner any more.

        It is recorded, too, before and after: a database that has none of the two is not as it was left.
        """
        new = value or uuid4().hex
        if records is not state:
            records.put({_coming(tenant): new, FILES: None})
        state.put({_key(tenant): new})
        if records is not state:
            records.put({_key(tenant): new})
        self.owner = owner

    @staticmethod
    def accept(state: State, records: Records, tenant: str) -> None:
        """Record what the collection has."""
        if records is not state and (value := Generation.stored(state, tenant)):
            records.put({_key(tenant): value, _coming(tenant): value})

    @staticmethod
    def recorded(state: State, records: Records, tenant: str) -> bool:
        """Whether what the collection has is what was recorded, or was about to be when someone crashed."""
        if records is state:  # One and the same, and others may be writing.
            return True
        known = [
            value for value in records.get_all([_key(tenant), _coming(tenant)]).values() if value is not None
        ]
        return Generation.stored(state, tenant) in (known or [None])

    @staticmethod
    def stored(state: Records, tenant: str) -> str | None:
        """What the collection, or the record of it, has; None before the first write."""
        value = state.get_all([_key(tenant)]).get(_key(tenant))
        return value if isinstance(value, str) else None


def _key(tenant: str) -> str:
    return f"generation/{digest(tenant)}"


def _coming(tenant: str) -> str:
    return f"coming generation/{digest(tenant)}"
