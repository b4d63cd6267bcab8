"""Page images and other originals in a folder, by content id."""

from __future__ import annotations

import hashlib
import os
import re
import sys
import tempfile
from pathlib import Path

from rag_plugins.errors import BadInput, StoreError
from rag_plugins.store.space import told

__all__ = ["AssetStore", "asset_store", "user_data"]

_ID = re.compile(r"[0-9a-f]{64}")
_SUFFIXES = {
    b"\x89PNG\r\n\x1a\n": ".png",
    b"\xff\xd8\xff": ".jpg",
    b"GIF8": ".gif",
    b"II*\0": ".tif",
    b"MM\0*": ".tif",
    b"%PDF-": ".pdf",
}
"""What a file begins with, so that whoever opens the folder can look at it."""


class AssetStore:
    """Bytes by the sha256 of themselves, one file each. Writers and readers may share the folder."""

    def __init__(self, folder: Path) -> None:
        """Nothing is made before the first `put`."""
        self.folder = folder

    def put(self, data: bytes) -> str:
        """Keep bytes; their id. Whole or not at all, and once."""
        asset = hashlib.sha256(data).hexdigest()
        path = self._path(asset, _suffix(data))
        try:
            if not path.is_file() or path.stat().st_size != len(data):
                _write(path, data)
        except OSError as error:
            doing = f"writing an asset of {len(data)} bytes to {self.folder}"
            raise StoreError(told(f"{doing}: {error}")) from error
        return asset

    def get(self, asset: str) -> bytes:
        """The bytes of an id. Raises `BadInput` for what is no id, `StoreError` where absent or damaged."""
        if not _ID.fullmatch(asset):
            raise BadInput(f"asset {asset!r:.80}: expected 64 hex digits")
        try:
            path = next(self._path(asset).parent.glob(f"{asset}.*"))
            data = path.read_bytes()
        except (StopIteration, OSError) as error:
            raise StoreError(
                f"asset {asset} is not in {self.folder}: restore the folder, or ingest again"
            ) from error
        if hashlib.sha256(data).hexdigest() != asset:
            raise StoreError(
                f"asset {path} is damaged: restore the folder, or delete the file and ingest again"
            )
        return data

    def discard(self, asset: str) -> None:
        """Remove a damaged one, so that `put` writes it anew."""
        for path in self._path(asset).parent.glob(f"{asset}.*"):
            path.unlink(missing_ok=True)

    def _path(self, asset: str, suffix: str = "") -> Path:
        # 256 folders, so that no folder holds too many files.
        return self.folder / asset[:2] / (asset + suffix)


def asset_store(folder: Path | None, database: Path | None) -> AssetStore:
    """In the folder asked for, else beside the database file, else (a server) where the user keeps data."""
    beside = database.with_name(database.name + ".assets") if database else user_data() / "assets"
    return AssetStore(folder or beside)


def user_data() -> Path:
    """The folder for this user's data."""
    home = Path.home()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    return base / "rag-plugins"


def _suffix(data: bytes) -> str:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return ".webp"
    return next((suffix for head, suffix in _SUFFIXES.items() if data.startswith(head)), ".bin")


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
