"""Temporary folders that go with their process: at its end, or at the next start after a kill."""

from __future__ import annotations

import importlib
import os
import shutil
import stat
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path
from types import ModuleType

__all__ = ["OwnFolder"]

_PREFIX = "rag-plugins-chat-"


class OwnFolder:
    """A folder that this process alone uses. Making one removes those of processes that were killed.

    Its owner holds a lock on it, which goes with the process, whatever ends that.
    """

    def __init__(self) -> None:
        """Make it, below the folder for temporary files."""
        locks = _locks()
        if locks:
            _sweep(locks)
        self.path, self._lock = _made(locks)
        self._finalizer = weakref.finalize(self, _remove, self.path, self._lock, os.getpid())

    def remove(self) -> None:
        """Remove it and what is in it. Idempotent."""
        self._finalizer()


def _locks() -> ModuleType | None:
    try:
        return importlib.import_module("fcntl")
    except ImportError:  # Windows: what a killed process leaves stays.
        return None


def _made(locks: ModuleType | None) -> tuple[Path, int | None]:
    while True:
        path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        if locks is None:
            return path, None
        with suppress(FileNotFoundError):
            lock = os.open(path, os.O_RDONLY)
            locks.flock(lock, locks.LOCK_EX)
            if path.exists():
                return path, lock
            os.close(lock)
        # Another start took it for one that was left, before there was a lock.


def _sweep(locks: ModuleType) -> None:
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):  # Gone already, or somebody else's.
            if not _ours(path):
                continue
            lock = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                locks.flock(lock, locks.LOCK_EX | locks.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(lock)


def _ours(path: Path) -> bool:
    found = path.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()


def _remove(path: Path, lock: int | None, process: int) -> None:
    if os.getpid() != process:
        return  # A forked child's end is not the owner's.
    shutil.rmtree(path, ignore_errors=True)
    if lock is not None:
        os.close(lock)
