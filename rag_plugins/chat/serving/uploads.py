"""Files that the page sends: kept for as long as they are read, one batch after another."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from tempfile import mkdtemp
from uuid import uuid4

from rag_plugins.errors import BadInput, RagPluginsError
from rag_plugins.index import RagIndex
from rag_plugins.ingest.documents import KINDS

__all__ = ["Job", "Uploads", "safe_name"]

_logger = logging.getLogger(__name__)

_LONGEST = 150
_REMEMBERED = 50
"""Jobs that can still be asked about."""

_UNSAFE = re.compile(r"[\x00-\x1f\x7f<>:\"/\\|?*\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]+")


@dataclass(slots=True)
class Job:
    """Some files on their way into the collection; `told` says how far they are."""

    told: str = "Waiting"
    pages: int = 0
    finished: bool = False
    bad: list[str] = field(default_factory=list[str])


class Uploads:
    """Reads batches of files in a thread of its own, in the order they came."""

    def __init__(self, index: RagIndex) -> None:
        """The index stays the caller's."""
        self._index = index
        self._folder = Path(mkdtemp(prefix="rag-plugins-chat-"))
        self._folder.chmod(0o700)
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="uploads")
        self._jobs: dict[str, Job] = {}

    def folder(self) -> Path:
        """A new folder for the files of one batch."""
        folder = self._folder / uuid4().hex
        folder.mkdir()
        return folder

    def start(self, folder: Path, names: Sequence[str]) -> str:
        """Read the files of a folder; the key of the job."""
        key, job = uuid4().hex, Job()
        self._jobs[key] = job
        for old in list(self._jobs)[:-_REMEMBERED]:
            del self._jobs[old]
        self._reader.submit(self._read, folder, names, job)
        return key

    def job(self, key: str) -> Job:
        """Raises `BadInput` for one that is not known."""
        if key not in self._jobs:
            raise BadInput("these files are not being read: send them again")
        return self._jobs[key]

    def close(self) -> None:
        """Let what is being read be finished, forget the rest, remove the files."""
        self._reader.shutdown(cancel_futures=True)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _read(self, folder: Path, names: Sequence[str], job: Job) -> None:
        what = names[0] if len(names) == 1 else f"{len(names)} files"

        def count(_: str) -> None:
            job.pages += 1
            job.told = f"Reading {what}: page {job.pages}"

        try:
            job.told = f"Reading {what}"
            summary = self._index.ingest([folder], root=folder, on_page=count)
            job.told = f"Read {what}: {summary.pages} pages, {summary.passages} passages"
            job.bad = [f"{bad.file}: {bad.reason}" for bad in summary.bad]
        except RagPluginsError as error:
            job.told, job.bad = f"Not read: {what}", [str(error)]
        except Exception:
            _logger.exception("an upload failed")
            job.told, job.bad = f"Not read: {what}", ["something went wrong on the server: its log says what"]
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            job.finished = True


def safe_name(given: str | None) -> str:
    """A file's name as it may be written here and shown. Raises `BadInput` for what is not read."""
    name = _UNSAFE.sub("_", PurePath(given or "").name).strip(". ")[-_LONGEST:]
    if PurePath(name).suffix.lower() not in KINDS:
        raise BadInput(f"{name or 'a file without a name'} is not read: send {' '.join(KINDS)}")
    return name
