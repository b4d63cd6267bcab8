"""A name for what a tenant's rows are at present, by which a copy of them knows that it has grown old."""

from __future__ import annotations

from uuid import uuid4

from rag_plugins.store.state import State
from rag_plugins.text import digest

__all__ = ["Generation"]


class Generation:
    """Kept in a collection's state, and renewed before rows change by whoever has not done so last.

    Stores of one process share one: `owner` is whoever knows of all changes so far, None where nobody does.
    """

    def __init__(self) -> None:
        self.owner: object | None = None

    def renew(self, state: State, tenant: str, owner: object, value: str | None = None) -> None:
        """Another one, or the one given; `tenant` as it is stored. Others are not the owner any more."""
        state.put({_key(tenant): value or uuid4().hex})
        self.owner = owner

    @staticmethod
    def stored(state: State, tenant: str) -> str | None:
        """What the collection has; None before the first write."""
        value = state.get(_key(tenant))
        return value if isinstance(value, str) else None


def _key(tenant: str) -> str:
    return f"generation/{digest(tenant)}"
