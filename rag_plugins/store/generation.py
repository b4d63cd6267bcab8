"""A name for what a tenant's rows are at present, by which a copy of them knows that it has grown old."""

from __future__ import annotations

from uuid import uuid4

from rag_plugins.store.state import State
from rag_plugins.text import digest

__all__ = ["Generation"]


class Generation:
    """Kept in a collection's state, and renewed before rows change by whoever is not known to keep the copy.

    Stores of one process share one: `value` is what the last of them has made it, None where none has.
    """

    def __init__(self) -> None:
        self.value: str | None = None

    def renew(self, state: State, tenant: str, value: str | None = None) -> str:
        """Another one, or the one given; `tenant` as it is stored."""
        value = value or uuid4().hex
        state.put({_key(tenant): value})
        self.value = value
        return value

    @staticmethod
    def stored(state: State, tenant: str) -> str | None:
        """What the collection has; None before the first write."""
        value = state.get(_key(tenant))
        return value if isinstance(value, str) else None


def _key(tenant: str) -> str:
    return f"generation/{digest(tenant)}"
