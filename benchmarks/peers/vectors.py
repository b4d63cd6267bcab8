"""Vectors of texts, kept by model and text: what was encoded once is not encoded again."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from rag_plugins.models.dense import DenseEncoder
from rag_plugins.models.protocols import DENSE, Encoding, Representation
from rag_plugins.models.tokens import pack_tokens, unpack_tokens
from rag_plugins.types import JsonValue, View
from rag_plugins.vectors import Matrix

__all__ = ["Remembering"]

_TOKENS = Representation.TOKENS
_TABLE = "CREATE TABLE IF NOT EXISTS documents (key TEXT PRIMARY KEY, dense BLOB, tokens BLOB)"


class Remembering:
    """A bi-encoder that has what it made of documents in `vectors.sqlite` of a folder.

    Token vectors are kept as a collection packs them: packed once more they are the same bytes.
    """

    def __init__(self, model: DenseEncoder, folder: Path) -> None:
        """A model is known by its fingerprint."""
        folder.mkdir(parents=True, exist_ok=True)
        self._model = model
        self._path = folder / "vectors.sqlite"
        self._about = json.dumps(dict(model.fingerprint), sort_keys=True)
        self.produces = model.produces
        self.dim = model.dim
        self.matryoshka = model.matryoshka
        self.encode_queries = model.encode_queries
        self.query_spans = model.query_spans
        self.unread = model.unread
        self.token_counts = model.token_counts

    @property
    def fingerprint(self) -> Mapping[str, JsonValue]:
        """Of the model: vectors are the same."""
        return self._model.fingerprint

    def encode_documents(self, views: Sequence[View], want: frozenset[Representation] = DENSE) -> Encoding:
        """What is there of each, and what the model makes of the others, which is kept."""
        keys = [self._key(view) for view in views]
        with closing(sqlite3.connect(self._path)) as file, file:
            file.execute(_TABLE)
            found = {key: row for key in keys if (row := self._read(file, key, want))}
            missing = {key: view for key, view in zip(keys, views, strict=True) if key not in found}
            if missing:
                made = self._made(list(missing.values()), want)
                found |= dict(zip(missing, made, strict=True))
                rows = [(key, *found[key]) for key in missing]
                file.executemany("INSERT OR REPLACE INTO documents VALUES (?, ?, ?)", rows)
        dense = np.stack([np.frombuffer(found[key][0], np.float32) for key in keys])
        tokens = tuple(_unpacked(found[key][1]) for key in keys) if _TOKENS in want else None
        return Encoding(dense, tokens=tokens)

    def _made(
        self, views: Sequence[View], want: frozenset[Representation]
    ) -> list[tuple[bytes, bytes | None]]:
        encoding = self._model.encode_documents(views, want | DENSE)
        assert encoding.dense is not None  # noqa: S101
        tokens = [None] * len(views) if encoding.tokens is None else map(pack_tokens, encoding.tokens)
        return [
            (vector.astype(np.float32).tobytes(), packed)
            for vector, packed in zip(encoding.dense, tokens, strict=True)
        ]

    def _read(
        self, file: sqlite3.Connection, key: str, want: frozenset[Representation]
    ) -> tuple[bytes, bytes | None] | None:
        row = file.execute("SELECT dense, tokens FROM documents WHERE key = ?", (key,)).fetchone()
        return None if row is None or (_TOKENS in want and row[1] is None) else row

    def _key(self, view: View) -> str:
        return hashlib.sha256(f"{self._about}\0{view!r}".encode("utf-8", "surrogatepass")).hexdigest()


def _unpacked(packed: bytes | None) -> Matrix:
    assert packed is not None  # noqa: S101
    return unpack_tokens(packed)
