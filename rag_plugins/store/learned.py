"""Where what a collection has told of its legs is kept, for each tenant."""

from __future__ import annotations

from time import monotonic

from rag_plugins.fusion.learned import Learned
from rag_plugins.store.state import State
from rag_plugins.text import digest

__all__ = ["LearnedRecord"]

_REFRESH = 5.0
"""Seconds between looks at what others have learned."""


class LearnedRecord:
    """One value beside the collection, known in memory; what another index puts is seen within seconds."""

    def __init__(self, state: State, tenant: str) -> None:
        self._state = state
        self._key = f"fusion/{digest(tenant)}"
        self._looked = -_REFRESH
        self._known: Learned | None = None

    @property
    def current(self) -> Learned | None:
        """What is known, None where nothing is yet."""
        if monotonic() - self._looked >= _REFRESH:
            self._known = Learned.from_json(self._state.get(self._key))
            self._looked = monotonic()
        return self._known

    def put(self, learned: Learned) -> None:
        """Keep it in place of what was known."""
        self._state.put({self._key: learned.to_json()})
        self._known, self._looked = learned, monotonic()
