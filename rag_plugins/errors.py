"""One exception tree; every error says what was got, what was expected and what to do.

RagPluginsError
├── ConfigError            a setting that cannot be used
├── UnknownPreset          a preset name that is not in the table
├── MissingExtra           an optional dependency is absent           (also ImportError)
├── MissingProgram         an external program is absent
├── ModelNotFound          no weights under the name given
├── ModelFailed            a language model gave no answer, or not all of it
├── CollectionMismatch     the collection was built with something else
├── SideError              the two sides of a passage were mixed      (also TypeError)
├── BadInput               refused before anything was done           (also ValueError)
│   ├── BadFilter          a filter that cannot be compiled
│   ├── BadQuery           a recall rule that cannot be read
│   ├── QueryTooLong       a query that leaves a reranker no room for a passage
│   ├── BadPassage         a passage that cannot be stored
│   └── BadDocument        a file that cannot be read
└── StoreError             what the store reported
    ├── DataLost           passages that were stored are not there
    ├── StoreLocked        another process holds the file
    └── StoreUnavailable   no answer within the deadline
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import ModuleType

__all__ = [
    "BadDocument",
    "BadFilter",
    "BadInput",
    "BadPassage",
    "BadQuery",
    "CollectionMismatch",
    "ConfigError",
    "DataLost",
    "MissingExtra",
    "MissingProgram",
    "ModelFailed",
    "ModelNotFound",
    "QueryTooLong",
    "RagPluginsError",
    "SideError",
    "StoreError",
    "StoreLocked",
    "StoreUnavailable",
    "UnknownPreset",
    "require",
]


class RagPluginsError(Exception):
    """The root: `except RagPluginsError` catches everything this package raises on purpose."""


class ConfigError(RagPluginsError):
    """A setting that cannot be used."""


class UnknownPreset(RagPluginsError):
    """A preset name that is not in the table; the message lists the known ones."""


class MissingExtra(RagPluginsError, ImportError):
    """An optional dependency is absent; the message says how to install it."""


class MissingProgram(RagPluginsError):
    """An external program, Tesseract for one, is absent; the message says how to install it."""


class ModelNotFound(RagPluginsError):
    """No weights under the name given; the message lists where they were looked for."""


class ModelFailed(RagPluginsError):
    """A language model gave no answer, or not all of it; the message never repeats what it was sent."""


class CollectionMismatch(RagPluginsError):
    """The collection was built with another model or layout; the message shows both sides."""


class SideError(RagPluginsError, TypeError):
    """Text for retrieval was used where text for the LLM belongs, or the other way round."""


class BadInput(RagPluginsError, ValueError):
    """Input that was refused before anything was done with it."""


class BadFilter(BadInput):
    """A filter that cannot be compiled."""


class BadQuery(BadInput):
    """A recall rule that cannot be read: which character of which query, why, and what to write instead."""

    def __init__(self, query: str, position: int, reason: str) -> None:
        """`position` counts characters from 0."""
        self.query: str = query
        self.position: int = position
        self.reason: str = reason
        super().__init__(f"character {position + 1}: {reason}\n  {query}\n  {' ' * position}^")

    def __reduce__(self) -> tuple[type[BadQuery], tuple[str, int, str]]:
        return BadQuery, (self.query, self.position, self.reason)


class QueryTooLong(BadInput):
    """A query that leaves a reranker no room for a passage; queries are never cut."""


class BadPassage(BadInput):
    """A passage that cannot be stored."""


class BadDocument(BadInput):
    """A file, or one page of it, that cannot be read; the batch goes on without it."""

    def __init__(self, file: str, page: int | None, reason: str) -> None:
        """`page` counts from 1; None means the file as a whole."""
        where = file if page is None else f"{file}, page {page}"
        super().__init__(f"{where}: {reason}")
        self.file = file
        self.page = page
        self.reason = reason

    def __reduce__(self) -> tuple[type[BadDocument], tuple[str, int | None, str]]:
        return BadDocument, (self.file, self.page, self.reason)


class StoreError(RagPluginsError):
    """What the store reported, in one type."""


class DataLost(StoreError):
    """Passages that were stored are not there: the message names their documents, and what may bring them."""

    def __init__(self, message: str, documents: Mapping[str, int]) -> None:
        """`documents`: how many passages of each are lost, by its id."""
        super().__init__(message)
        self.documents = documents

    def __reduce__(self) -> tuple[type[DataLost], tuple[str, dict[str, int]]]:
        return DataLost, (str(self), dict(self.documents))


class StoreLocked(StoreError):
    """Another process holds the database file."""


class StoreUnavailable(StoreError):
    """The store gave no answer within the deadline."""


def require(module: str, extra: str) -> ModuleType:
    """Import an optional dependency, or raise `MissingExtra` with the command that installs it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != module.split(".")[0]:
            raise  # The dependency is there and broken: its own message is the useful one.
        raise MissingExtra(f"{module} is not installed: pip install 'rag-plugins[{extra}]'") from error
