"""Where a collection lives: a Milvus Lite file or a server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from pydantic import SecretStr

from rag_plugins.errors import ConfigError, StoreError

__all__ = ["Address"]

_SCHEMES = ("http", "https", "tcp", "unix")


@dataclass(frozen=True, slots=True, repr=False)
class Address:
    """`uri` as pymilvus wants it; `path` of a Lite database, None for a server.

    `token` has the credentials that stood in the address of a server, which `uri` is without.
    """

    uri: str
    path: Path | None = None
    token: SecretStr = SecretStr("")

    @classmethod
    def of(cls, uri: str | Path) -> Address:
        """From what a user gives: `handbook.db`, `~/data/handbook.db`, `http://host:19530`."""
        text = str(uri)
        scheme = urlsplit(text).scheme.lower() if isinstance(uri, str) else ""
        if scheme in _SCHEMES:
            return _server(text)
        if not text.endswith(".db"):
            raise ConfigError(
                f"{text!r}: expected a path that ends in .db, or a server like http://host:19530"
            )
        try:
            path = Path(text).expanduser().resolve()
        except (RuntimeError, ValueError, OSError) as error:
            raise ConfigError(f"{text!r}: {error}") from error
        return cls(str(path), path)

    def prepare(self) -> None:
        """Make the folder that Lite wants to find. Raises `StoreError` for a file that Lite cannot read."""
        if self.path is None:
            return
        if self.path.is_file():
            raise StoreError(
                f"{self.path} is a file; Milvus Lite 3 keeps a database in a folder and cannot read "
                "files of Lite 2: choose another name and ingest again"
            )
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def files(self) -> dict[str, int]:
        """Bytes of each file of a Lite database, by its path in it; nothing of a server."""
        if self.path is None:
            return {}
        base, found = self.path, (self.path / "collections").rglob("*")
        return {file.relative_to(base).as_posix(): file.stat().st_size for file in found if file.is_file()}

    def crashed(self) -> bool:
        """Whether whoever last had the Lite database open ended without closing it: a log is left."""
        return self.path is not None and any(self.path.glob("collections/*/wal/*"))

    def __repr__(self) -> str:
        return f"Address({str(self)!r})"

    def __str__(self) -> str:
        if self.path:
            return str(self.path)
        return urlunsplit(urlsplit(self.uri)._replace(query="", fragment=""))


def _server(uri: str) -> Address:
    parts = urlsplit(uri)
    credentials, _, host = parts.netloc.rpartition("@")
    bare = urlunsplit(parts._replace(netloc=host)) if credentials else uri
    return Address(bare, token=SecretStr(unquote(credentials)))
