"""Which files to read, and who they are: paths in, `SourceFile`s and `BadDocument`s out."""

from __future__ import annotations

import glob
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from rag_plugins.errors import BadDocument

__all__ = ["KINDS", "Found", "Kind", "SourceFile", "find_documents"]

Kind: TypeAlias = Literal["image", "pdf", "text", "markdown", "html", "docx"]

KINDS: dict[str, Kind] = {
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".gif"), "image"),
    ".pdf": "pdf",
    ".txt": "text",
    **dict.fromkeys((".md", ".markdown"), "markdown"),
    **dict.fromkeys((".html", ".htm", ".xhtml"), "html"),
    ".docx": "docx",
}
"""What is read, by suffix in lower case."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to read. `doc_id` and `source` are its posix path: relative to the root, else absolute."""

    path: Path
    doc_id: str
    source: str
    sha256: str

    @property
    def kind(self) -> Kind:
        """Which reader it goes to."""
        return KINDS[self.path.suffix.lower()]


@dataclass(frozen=True, slots=True)
class Found:
    """What can be read, in the order given, folders sorted; and what cannot."""

    files: tuple[SourceFile, ...]
    bad: tuple[BadDocument, ...]


def find_documents(paths: Sequence[str | Path], root: Path | None = None) -> Found:
    """Files, the supported files in and below folders, and what patterns (`scans/**/*.pdf`) match, each once.

    Never raises for one of them. Missing, unreadable, unsupported or, given a root, outside it: a
    `BadDocument`; a pattern that nothing matches is one too. In folders and of what a pattern matches hidden
    and unsupported files are passed over, and symlinks to folders are not followed.
    """
    base = None if root is None else _absolute(root)
    files: dict[str, SourceFile] = {}
    bad: list[BadDocument] = []
    for found in (found for path in paths for found in _listed(path)):
        if isinstance(found, BadDocument):
            bad.append(found)
            continue
        try:
            file = _source(found, base)
        except BadDocument as error:
            bad.append(error)
        else:
            files.setdefault(file.doc_id, file)
    return Found(tuple(files.values()), tuple(bad))


def _absolute(path: Path) -> Path:
    # Not resolved: the name that the user knows, and its suffix, are the link's, not its target's.
    return Path(os.path.abspath(path))


def _shown(path: str | Path) -> str:
    """A path as text that any store and terminal takes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _listed(path: str | Path) -> Iterator[Path | BadDocument]:
    try:
        if not str(path):
            raise BadDocument("", None, "an empty path: give a file or a folder, '.' for the current one")
        absolute = _absolute(Path(path))
        # What stands there under this very name is meant, even if the name reads like a pattern.
        pattern = glob.has_magic(str(absolute)) and not os.path.lexists(absolute)
        found = _matching(absolute) if pattern else [absolute]
    except BadDocument as error:
        yield error
    except (OSError, ValueError) as error:
        yield BadDocument(_shown(path), None, _why(error))
    else:
        for name in found:
            yield from _opened(name)


def _matching(pattern: Path) -> list[Path]:
    """What a pattern matches, sorted."""
    first = next(n for n, part in enumerate(pattern.parts) if glob.has_magic(part))
    base, rest = Path(*pattern.parts[:first]), pattern.parts[first:]
    os.stat(base)
    found = [path for path in sorted(base.glob(str(Path(*rest)))) if _is_meant(path, base)]
    if not found:
        raise BadDocument(_shown(pattern), None, f"matches nothing that is supported: {' '.join(KINDS)}")
    return found


def _is_meant(path: Path, base: Path) -> bool:
    inner = path.relative_to(base)
    hidden = any(part.startswith(".") for part in inner.parts)
    linked = any((base / folder).is_symlink() for folder in inner.parents[:-1])
    if hidden or linked:
        return False
    return path.suffix.lower() in KINDS or (path.is_dir() and not path.is_symlink())


def _opened(path: Path) -> Iterator[Path | BadDocument]:
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:
        yield BadDocument(_shown(path), None, _why(error))
    else:
        yield from _walk(path) if stat.S_ISDIR(mode) else (path,)


def _walk(folder: Path) -> Iterator[Path | BadDocument]:
    unread: list[BadDocument] = []
    found: list[Path] = []
    for parent, folders, names in os.walk(
        folder, onerror=lambda error: unread.append(BadDocument(_shown(error.filename), None, _why(error)))
    ):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(parent, name)
            for name in names
            if not name.startswith(".") and Path(name).suffix.lower() in KINDS
        ]
    yield from sorted(found)
    yield from unread


def _source(path: Path, root: Path | None) -> SourceFile:
    """Raises `BadDocument`."""
    shown = _shown(path)
    if path.suffix.lower() not in KINDS:
        raise BadDocument(shown, None, f"{path.suffix or 'no suffix'}: supported are {' '.join(KINDS)}")
    if shown.encode() != os.fsencode(path):
        raise BadDocument(shown, None, "the file name is not valid UTF-8: rename it")
    name = path.as_posix() if root is None else _below(path, root)
    try:
        digest = _sha256(path)
    except OSError as error:
        raise BadDocument(shown, None, _why(error)) from error
    return SourceFile(path, name, name, digest)


def _below(path: Path, root: Path) -> str:
    """The path relative to the root. Both the name and where links lead to must be under it."""
    if not path.is_relative_to(root) or not path.resolve().is_relative_to(root.resolve()):
        raise BadDocument(path.as_posix(), None, f"outside the root {root.as_posix()}")
    return path.relative_to(root).as_posix()


def _sha256(path: Path) -> str:
    # Asked before opening: opening a pipe waits for a writer, and a device may never end.
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError("not a regular file")
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _why(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
