"""What others make of a tenant's rows, kept with the snapshot of these."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping

from rag_plugins.errors import StoreError
from rag_plugins.store.local.snapshots import Content, Snapshots

__all__ = ["Dump", "Sections"]

Dump = Callable[[], Content]
"""What a section is to have."""

_logger = logging.getLogger(__name__)


class Sections:
    """Who is asked for what whenever a snapshot is saved, and which are in the files of the last one."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots
        self._dumps: dict[str, Dump] = {}
        self._saved: set[str] = set()

    @property
    def unsaved(self) -> set[str]:
        """Names of those that have been made anew, or never saved."""
        return set(self._dumps) - self._saved

    def keep(self, name: str, dump: Dump) -> None:
        """Ask this from now on; what it gives is new."""
        self._dumps[name] = dump
        self._saved.discard(name)

    def kept(self, generation: str, name: str) -> Content | None:
        """What the files have of it; None where there is none of that generation, or a damaged one."""
        try:
            content = self._snapshots.load_section(generation, name)
        except StoreError as error:
            _logger.warning("%s", error)
            return None
        if content is not None:
            self._saved.add(name)  # Until it is made anew, the file need not be.
        return content

    def dumped(self, names: Iterable[str] | None = None) -> dict[str, Content]:
        """What those who keep sections say, all or these."""
        return {name: self._dumps[name]() for name in (self._dumps if names is None else names)}

    def save(self, generation: str, contents: Mapping[str, Content]) -> None:
        """Add them to the snapshot of that generation. Raises `StoreError`."""
        for name, content in contents.items():
            self._snapshots.save_section(generation, name, content)
            self._saved.add(name)

    def outdated(self) -> None:
        """The files are of another snapshot than the one there is now."""
        self._saved.clear()

    def clear(self) -> None:
        """Ask nobody any more: what they have is of other rows."""
        self._dumps.clear()
        self._saved.clear()
