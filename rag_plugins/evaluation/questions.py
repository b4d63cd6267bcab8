"""A user's own questions: each with the document, page or passage that answers it, or words of the answer."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from rag_plugins.errors import BadDocument, BadInput
from rag_plugins.evaluation.beir import read_folder, read_lines, read_text
from rag_plugins.text import clean

__all__ = ["Question", "Target", "read_questions"]

_KEYS = {
    "question": ("question", "query", "text"),
    "id": ("id", "_id", "query_id"),
    "document": ("document", "doc_id", "doc", "file", "source"),
    "page": ("page",),
    "passage": ("passage", "passage_id"),
    "answer": ("answer", "answers"),
    "grade": ("grade", "relevance", "score"),
}
"""What a column or key may be called, case aside."""

_DELIMITERS = {".csv": ",", ".tsv": "\t"}


@dataclass(frozen=True, slots=True)
class Target:
    """What answers a question, and how well: a document, one page of it, or a passage by its id."""

    document: str | None = None
    page: int | None = None
    passage: str | None = None
    grade: int = 1


@dataclass(frozen=True, slots=True)
class Question:
    """A question, what answers it, and answers of which one is to be in the text that an LLM reads."""

    id: str
    text: str
    targets: tuple[Target, ...] = ()
    answers: tuple[str, ...] = ()


def read_questions(path: str | Path) -> list[Question]:
    """Of a table (.csv, .tsv), JSON lines (.jsonl), or a folder with queries.jsonl and qrels.tsv.

    Columns, or keys, are `question` and one at least of `document`, `document` with `page`, `passage`, and
    `answer`; others are ignored. Lines of one question count together. In JSON lines `answer` may be a list.
    Raises `BadDocument` with the number of the line, `BadInput` for another kind of file.
    """
    path = Path(path)
    if path.is_dir():
        return _of_folder(path)
    if path.suffix == ".jsonl":
        lines: Iterable[tuple[int, Mapping[str, Any]]] = enumerate(read_lines(path), 1)
    elif path.suffix in _DELIMITERS:
        lines = _rows(path, _DELIMITERS[path.suffix])
    else:
        raise BadInput(f"{path}: expected questions as .csv, .tsv or .jsonl, or a folder in BEIR's format")
    questions: dict[str, Question] = {}
    for number, line in lines:
        question = _question(path.name, number, {key.strip().casefold(): line[key] for key in line})
        known = questions.get(question.id, replace(question, targets=(), answers=()))
        if known.text != question.text:
            raise BadDocument(path.name, None, f"line {number}: {question.id!r} is another question already")
        questions[question.id] = replace(
            known,
            targets=tuple(dict.fromkeys([*known.targets, *question.targets])),
            answers=tuple(dict.fromkeys([*known.answers, *question.answers])),
        )
    if not questions:
        raise BadDocument(path.name, None, "there are no questions in it")
    return list(questions.values())


def _of_folder(folder: Path) -> list[Question]:
    tests = read_folder(folder, corpus=False)
    return [
        Question(
            id,
            text,
            tuple(Target(document, grade=grade) for document, grade in tests.qrels.get(id, {}).items()),
            tests.answers.get(id, ()),
        )
        for id, text in tests.queries.items()
        if tests.qrels.get(id) or tests.answers.get(id)
    ]


def _rows(path: Path, delimiter: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The rows of a table with a head line, and the lines they end at."""
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""), delimiter=delimiter, strict=True)
    try:
        for row in reader:
            if None in row:
                raise BadDocument(
                    path.name, None, f"line {reader.line_num} has more fields than the head line"
                )
            yield reader.line_num, cast("Mapping[str, Any]", row)
    except csv.Error as error:
        raise BadDocument(path.name, None, f"line {reader.line_num}: {error}") from error


def _question(file: str, number: int, line: Mapping[str, Any]) -> Question:
    def bad(problem: str) -> BadDocument:
        return BadDocument(file, None, f"line {number}: {problem}")

    text, id = _text(line, "question"), _text(line, "id")
    if not text:
        raise bad(f"expected a question, by the name {', '.join(_KEYS['question'])}")
    document, passage, page = _text(line, "document"), _text(line, "passage"), _text(line, "page")
    answers = tuple(filter(None, map(_clean, _list(_value(line, "answer")))))
    if page and not document:
        raise bad("a page needs its document")
    if not document and not passage and not answers:
        raise bad("expected what answers the question: a document, a page of one, a passage or an answer")
    try:
        grade = int(_text(line, "grade") or 1)
        target = Target(document or None, int(page) if page else None, passage or None, grade)
    except ValueError:
        raise bad("expected whole numbers as page and grade") from None
    return Question(id or text, text, (target,) if document or passage else (), answers)


def _value(line: Mapping[str, Any], name: str) -> Any:
    return next((line[key] for key in _KEYS[name] if line.get(key) not in (None, "")), None)


def _text(line: Mapping[str, Any], name: str) -> str:
    value = _value(line, name)
    return "" if value is None or isinstance(value, dict | list) else _clean(value)


def _clean(value: object) -> str:
    return clean(str(value)).strip()


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
