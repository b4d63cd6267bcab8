"""Document sets: folders in BEIR's format whose corpus has true text and, in most, images of the pages."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag_plugins.errors import BadDocument
from rag_plugins.evaluation.beir import TestSet, read_folder, read_lines

__all__ = ["DocumentSet", "read_documents"]


@dataclass(frozen=True, slots=True)
class DocumentSet:
    """True texts, queries and qrels; the image of each document that has one; what answers a query.

    A query's answers are alternatives: any of them will do. `asked` are the queries whose answers are what
    somebody asks for ("answers"), not the passage sought ("sentence"). `sources` has documents by the path
    of their image below `folder`, which ingestion knows them by.
    """

    folder: Path
    tests: TestSet
    images: Mapping[str, Path]
    answers: Mapping[str, tuple[str, ...]]
    asked: frozenset[str]
    sources: Mapping[str, str]

    @property
    def pages(self) -> dict[str, str]:
        """True texts of the documents that have an image."""
        return {id: self.tests.corpus[id] for id in self.images}


def read_documents(folder: str | Path, queries: int | None = None) -> DocumentSet:
    """Read a folder; `queries` limits how many, drawn with a fixed seed. Raises `BadDocument`.

    A page's true text is its "text" alone; where there is no image the title belongs to it.
    """
    folder = Path(folder).resolve()
    tests = read_folder(folder).sample(queries)
    lines = {line["_id"]: line for line in read_lines(folder / "corpus.jsonl", "_id", "text")}
    images = {id: _image(folder, line) for id, line in lines.items() if line.get("image")}
    texts = {id: str(lines[id]["text"]) if id in images else text for id, text in tests.corpus.items()}
    asked = read_lines(folder / "queries.jsonl", "_id")
    sentences = {
        line["_id"]: (str(line["sentence"]),)
        for line in asked
        if line["_id"] in tests.queries and line.get("sentence")
    }
    return DocumentSet(
        folder=folder,
        tests=TestSet(texts, tests.queries, tests.qrels),
        images=images,
        answers=sentences | tests.answers,
        asked=frozenset(tests.answers),
        sources={path.relative_to(folder).as_posix(): id for id, path in images.items()},
    )


def _image(folder: Path, line: Mapping[str, Any]) -> Path:
    path = folder / str(line["image"])
    with suppress(OSError, ValueError):  # A name too long for a file, or with a NUL.
        if path.is_file() and path.resolve().is_relative_to(folder):
            return path
    raise BadDocument(str(line["image"]), None, f"the image of {line['_id']!r} is no file in {folder}")
