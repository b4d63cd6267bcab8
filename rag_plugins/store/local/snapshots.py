"""What of a tenant's rows is kept in files, so that opening a database need not read them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from rag_plugins.errors import StoreError
from rag_plugins.resident.archive import load, save, sweep
from rag_plugins.text import digest
from rag_plugins.types import JsonValue

__all__ = ["Content", "Snapshots"]

Content = tuple[Mapping[str, NDArray[Any]], JsonValue]
"""Arrays by name, and what there is to say of them."""


class Snapshots:
    """A folder with one file for the rows and one for each section that others have added.

    All bear the generation of the rows; a section of another one is none.
    """

    def __init__(self, folder: Path) -> None:
        """The folder is made with the first file."""
        self._folder = folder

    def load(self) -> tuple[str, Content] | None:
        """The generation and the rows; None where there are none. Raises `StoreError` where damaged."""
        path = self._path("rows")
        if not path.exists():
            return None
        sweep(self._folder)
        return _opened(path)

    def save(self, generation: str, content: Content) -> None:
        """Replace the rows. Raises `StoreError`, and has changed nothing."""
        save(self._path("rows"), content[0], {"generation": generation, "meta": content[1]})

    def load_section(self, generation: str, name: str) -> Content | None:
        """A section saved for that generation, if there is one. Raises `StoreError` where it is damaged."""
        path = self._path(digest(name))
        if not path.exists():
            return None
        found, content = _opened(path)
        return content if found == generation else None

    def save_section(self, generation: str, name: str, content: Content) -> None:
        """Replace a section. Raises `StoreError`."""
        save(self._path(digest(name)), content[0], {"generation": generation, "meta": content[1]})

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.snapshot"


def _opened(path: Path) -> tuple[str, Content]:
    arrays, meta = load(path)
    if not isinstance(meta, dict) or not isinstance(generation := meta.get("generation"), str):
        raise StoreError(f"{path} is not a snapshot; it may be deleted")
    return generation, (arrays, meta.get("meta"))
