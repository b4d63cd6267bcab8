"""Files that the page sends: kept for as long as they are read, one batch after another."""

from __future__ import annotations

import logging
import shutil
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from threading import Event
from typing import IO
from uuid import uuid4

from rag_plugins.chat.serving.folders import OwnFolder
from rag_plugins.chat.serving.names import without_paths
from rag_plugins.errors import BadInput, RagPluginsError
from rag_plugins.index import RagIndex
from rag_plugins.ingest.documents import KINDS
from rag_plugins.ingest.indexer import IngestSummary
from rag_plugins.text import file_name

__all__ = ["Batch", "Job", "Uploads", "safe_name"]

_logger = logging.getLogger(__name__)

_LONGEST = 150
"""Bytes of a file's name."""

_REMEMBERED = 50
"""Jobs that can still be asked about."""

_RESERVED = frozenset('<>:"/\\|?*')
_ENDING = "the server is ending: send the files again when it is back"


class _EndingError(Exception):
    """Stops the reading of a batch."""


@dataclass(slots=True)
class Job:
    """Some files on their way into the collection; `told` says how far they are."""

    told: str = "Waiting"
    pages: int = 0
    finished: bool = False
    bad: list[str] = field(default_factory=list[str])


@dataclass(frozen=True, slots=True)
class Batch:
    """Files that came together, in a folder of their own; `bad` says which were not taken, and why."""

    folder: Path
    names: list[str] = field(default_factory=list[str])
    bad: list[str] = field(default_factory=list[str])

    def put(self, name: str | None, file: IO[bytes]) -> None:
        """Keep a file. Of two by one name the second gets a number."""
        try:
            safe = PurePath(safe_name(name))
        except BadInput as error:
            self.bad.append(str(error))
            return
        kept, number = safe.name, 1
        while kept in self.names:
            number += 1
            kept = f"{safe.stem}-{number}{safe.suffix}"
        self.names.append(kept)
        with open(self.folder / kept, "xb") as out:
            shutil.copyfileobj(file, out)

    def drop(self) -> None:
        """Remove the files."""
        shutil.rmtree(self.folder, ignore_errors=True)


class Uploads:
    """Reads batches of files in a thread of its own, in the order they came."""

    def __init__(self, index: RagIndex) -> None:
        """The index stays the caller's."""
        self._index = index
        self._folder = OwnFolder()
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="uploads")
        self._jobs: dict[str, Job] = {}
        self._ending = Event()

    def batch(self) -> Batch:
        """A new one, empty. Raises `BadInput` once closed."""
        if self._ending.is_set():
            raise BadInput(_ENDING)
        batch = Batch(self._folder.path / uuid4().hex)
        batch.folder.mkdir()
        return batch

    def start(self, batch: Batch) -> str:
        """Read the files of a batch; the key of the job. Raises `BadInput` where there is none to read."""
        if not batch.names:
            raise BadInput("; ".join(batch.bad) or "no file came: choose some")
        if self._ending.is_set():
            raise BadInput(_ENDING)
        key, job = uuid4().hex, Job()
        self._jobs[key] = job
        for old in list(self._jobs)[:-_REMEMBERED]:
            del self._jobs[old]
        self._reader.submit(self._read, batch, job)
        return key

    def job(self, key: str) -> Job:
        """Raises `BadInput` for one that is not known."""
        if key not in self._jobs:
            raise BadInput("these files are not being read: send them again")
        return self._jobs[key]

    def close(self) -> None:
        """Let the page that is being read be finished, forget the rest, remove the files."""
        self._ending.set()
        self._reader.shutdown(cancel_futures=True)
        self._folder.remove()

    def _read(self, batch: Batch, job: Job) -> None:
        what = batch.names[0] if len(batch.names) == 1 else f"{len(batch.names)} files"

        def count(_: str) -> None:
            if self._ending.is_set():
                raise _EndingError
            job.pages += 1
            job.told = f"Reading {what}: page {job.pages}"

        job.told = f"Reading {what}"
        try:
            summary = self._index.ingest([batch.folder], root=batch.folder, on_page=count)
        except Exception as error:
            job.told, job.bad = f"Not read: {what}", [_reason(error)]
        else:
            job.told = _outcome(what, summary)
            reasons = [f"{file_name(bad.file)}: {bad.reason}" for bad in summary.bad]
            job.bad = [*batch.bad, *map(without_paths, reasons)]
        finally:
            batch.drop()
            job.finished = True


def safe_name(given: str | None) -> str:
    """A file's name as it may be written here and shown. Raises `BadInput` for what is not read."""
    last = PurePath((given or "").replace("\\", "/")).name
    name = "".join("_" if _hidden(character) else character for character in last).strip(". ")
    suffix = PurePath(name).suffix
    if suffix.lower() not in KINDS:
        name = _cut(name) or "a file without a name"
        raise BadInput(f"{name} is not read: send {' '.join(KINDS)}")
    return _cut(name.removesuffix(suffix)) + suffix


def _hidden(character: str) -> bool:
    """Whether it stands for more than itself, or does not show: controls, directions, halves of pairs."""
    kind = unicodedata.category(character)
    return character in _RESERVED or kind[0] == "C" or kind in ("Zl", "Zp")


def _cut(name: str) -> str:
    return name.encode()[:_LONGEST].decode(errors="ignore")


def _reason(error: Exception) -> str:
    if isinstance(error, _EndingError):
        return _ENDING
    if isinstance(error, RagPluginsError):
        return without_paths(str(error))
    _logger.error("an upload failed", exc_info=error)
    return "something went wrong on the server: its log says what"


def _outcome(what: str, summary: IngestSummary) -> str:
    if not summary.documents:
        return f"{what}: the same as in the collection" if summary.unchanged else f"Not read: {what}"
    told = f"Read {what}: {_number(summary.pages, 'page')}, {_number(summary.passages, 'passage')}"
    if summary.replaced:
        told += f"; {summary.replaced} took the place of what had the same name"
    return told


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
