"""BEIR-format folders: corpus.jsonl, queries.jsonl, qrels.tsv (Thakur et al. 2021)."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rag_plugins.errors import BadDocument

__all__ = ["TestSet", "read_folder", "read_lines", "read_text"]


@dataclass(frozen=True, slots=True)
class TestSet:
    """Texts by document id, questions by query id, and qrels: relevance by query id and document id."""

    corpus: dict[str, str]
    queries: dict[str, str]
    qrels: dict[str, dict[str, int]]
    answers: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])

    def sample(self, queries: int | None) -> TestSet:
        """At most so many of the queries that have a relevant document; drawn with a fixed seed."""
        judged = [id for id in self.queries if any(grade > 0 for grade in self.qrels.get(id, {}).values())]
        if queries is not None and queries < len(judged):
            judged = sorted(random.Random(0).sample(judged, queries))
        return TestSet(
            self.corpus,
            {id: self.queries[id] for id in judged},
            {id: self.qrels[id] for id in judged},
            {id: self.answers[id] for id in judged if id in self.answers},
        )


def read_folder(folder: str | Path, *, corpus: bool = True) -> TestSet:
    """Read a folder; a document's text is its title, a new line and its text. Raises `BadDocument`.

    Without `corpus` only queries and qrels are read: for documents that are in a collection.
    """
    folder = Path(folder)
    lines = read_lines(folder / "corpus.jsonl", "_id", "text") if corpus else ()
    texts = {line["_id"]: f"{line.get('title') or ''}\n{line['text']}".strip() for line in lines}
    asked = list(read_lines(folder / "queries.jsonl", "_id", "text"))
    return TestSet(
        corpus=texts,
        queries={line["_id"]: line["text"] for line in asked},
        qrels=_qrels(folder / "qrels.tsv"),
        answers={line["_id"]: found for line in asked if (found := _answers(line))},
    )


def read_lines(path: Path, *keys: str) -> Iterator[dict[str, Any]]:
    """The objects of a file of JSON lines, each with texts under these keys. Raises `BadDocument`."""
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise BadDocument(path.name, None, f"line {number} is not JSON: {error}") from error
        missing = [key for key in keys if not isinstance(value, dict) or key not in value]
        if missing:
            raise BadDocument(path.name, None, f"line {number} lacks {', '.join(missing)}")
        # Numbers would do, were it not that those of qrels.tsv are texts, so that none of them is found.
        if others := [key for key in keys if not isinstance(value[key], str)]:
            raise BadDocument(path.name, None, f"line {number}: expected a text as {', '.join(others)}")
        yield value


def _answers(line: dict[str, Any]) -> tuple[str, ...]:
    answers = line.get("answers") or []
    if not isinstance(answers, list):
        raise BadDocument("queries.jsonl", None, f"answers of {line['_id']!r}: expected a list of strings")
    return tuple(str(answer) for answer in answers if answer)


def _qrels(path: Path) -> dict[str, dict[str, int]]:
    """`query-id <tab> corpus-id <tab> score`, with or without a head line."""
    qrels: dict[str, dict[str, int]] = {}
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        fields = line.split("\t")
        if not line.strip() or (number == 1 and fields[-1] == "score"):
            continue
        try:
            query, document, grade = fields
            qrels.setdefault(query, {})[document] = _grade(grade)
        except ValueError as error:
            raise BadDocument(
                path.name, None, f"line {number}: expected query-id, corpus-id and a whole score, by tabs"
            ) from error
    return qrels


def _grade(text: str) -> int:
    grade = int(text)
    if not -(2**31) <= grade < 2**31:
        raise ValueError(f"{grade} has more than 32 bits")
    return grade


def read_text(path: Path) -> str:
    """A text file in UTF-8, with or without a byte order mark. Raises `BadDocument`."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadDocument(path.name, None, f"cannot be read in {path.parent}: {error}") from error
