"""What is learned from: queries with a passage that answers each, and passages that do not."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import random
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from rag_plugins.errors import BadDocument, BadInput
from rag_plugins.evaluation.beir import read_folder
from rag_plugins.text import clean

__all__ = ["Pair", "Pairs", "answering", "read_pairs", "relevant", "split"]

_QUERY = ("query", "question", "anchor", "sentence1", "text1")
_POSITIVE = ("positive", "passage", "answer", "sentence2", "text2", "document")
_NEGATIVES = ("negatives", "negative", "hard_negatives")
_SCORE = ("score", "label", "similarity")
_GROUP = ("doc_id", "group")
_DELIMITERS = {".csv": ",", ".tsv": "\t"}


@dataclass(frozen=True, slots=True)
class Pair:
    """A query and a passage that answers it, or is as similar to it as `score` says (where there is one).

    `negatives` are passages that do not. Passages of one `group`, such as a document, are no negatives of one
    another's queries. `taught` are a teacher's scores of the positive and of each negative.
    """

    query: str
    positive: str
    negatives: tuple[str, ...] = ()
    score: float | None = None
    group: str = ""
    taught: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs, the texts that negatives may be taken from, and lines that could not be read, each with why."""

    items: tuple[Pair, ...]
    corpus: Mapping[str, str] = field(default_factory=dict[str, str])
    bad: tuple[str, ...] = ()

    @property
    def graded(self) -> bool:
        """Whether each says how similar it is."""
        return bool(self.items) and all(pair.score is not None for pair in self.items)


def read_pairs(path: str | Path) -> Pairs:
    """JSON lines or a table (.jsonl, .csv, .tsv, also .gz), or a folder.

    A line has a query and a positive, and may have negatives (a list, or one), a score and a doc_id. A folder
    is in BEIR's format, or has corpus.jsonl and pairs.jsonl with a query and a doc_id each. What cannot be
    read is left out and told. Raises `BadDocument` for a file that cannot be read at all, and `BadInput` for
    one of another kind or without a pair. What is given twice is one pair.
    """
    path = Path(path)
    pairs = _of_folder(path) if path.is_dir() else _of_lines(path, _lines(path))
    if not pairs.items:
        why = f": {pairs.bad[0]}" if pairs.bad else ""
        raise BadInput(f"{path}: no pair of a query and a positive passage in it{why}")
    return replace(pairs, items=tuple(dict.fromkeys(pairs.items)))


def split(pairs: Sequence[Pair], share: float, seed: int) -> tuple[list[Pair], list[Pair]]:
    """Those to train on, and about this share that is not: no query, positive or group is in both.

    Neither is empty, but where all pairs hang together by these: then all are to train on.
    """
    parts = _connected(pairs)
    random.Random(seed).shuffle(parts)
    if len(parts) < 2:
        return list(pairs), []
    smallest = min(parts, key=len)
    most = min(share * len(pairs), len(pairs) - 1)
    dev, train = list(smallest), list[Pair]()
    for part in parts:
        if part is not smallest:
            (dev if len(dev) + len(part) <= most else train).extend(part)
    return train, dev


def relevant(pairs: Sequence[Pair]) -> dict[str, dict[str, int]]:
    """Passages that answer, by query, each 1; of graded pairs those of the upper half of the scale."""
    found: dict[str, dict[str, int]] = {}
    for pair in answering(pairs):
        found.setdefault(pair.query, {})[pair.positive] = 1
    return found


def answering(pairs: Sequence[Pair]) -> list[Pair]:
    """Without grades: those of the upper half of the scale, and the others as negatives of their queries."""
    scores = [pair.score for pair in pairs if pair.score is not None]
    least = (min(scores) + max(scores)) / 2 if scores else 0.0
    no_answers: dict[str, list[str]] = {}
    for pair in pairs:
        if pair.score is not None and pair.score < least:
            no_answers.setdefault(pair.query, []).append(pair.positive)
    return [
        _with(replace(pair, score=None), no_answers.get(pair.query, ()))
        for pair in pairs
        if pair.score is None or pair.score >= least
    ]


def _with(pair: Pair, others: Sequence[str]) -> Pair:
    """With these negatives, too; what is new has not been scored by a teacher."""
    new = [text for text in dict.fromkeys(others) if text not in {pair.positive, *pair.negatives}]
    return replace(pair, negatives=(*pair.negatives, *new))


def _connected(pairs: Sequence[Pair]) -> list[list[Pair]]:
    """Pairs that share a query, a positive or a group, directly or by others; in the order given."""
    parent: dict[tuple[str, str], tuple[str, str]] = {}

    def root(key: tuple[str, str]) -> tuple[str, str]:
        while parent.setdefault(key, key) != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    for pair in pairs:
        query = root(("query", pair.query))
        for key in (("text", pair.positive), *([("group", pair.group)] if pair.group else [])):
            parent[root(key)] = query
    parts: dict[tuple[str, str], list[Pair]] = {}
    for pair in pairs:
        parts.setdefault(root(("query", pair.query)), []).append(pair)
    return list(parts.values())


def _of_folder(folder: Path) -> Pairs:
    if (folder / "qrels.tsv").is_file():
        tests = read_folder(folder)
        corpus = {id: _clean(text) for id, text in tests.corpus.items()}
        judged = [
            Pair(_clean(tests.queries.get(query, "")), corpus.get(id, ""), group=id)
            for query, grades in tests.qrels.items()
            for id, grade in grades.items()
            if grade > 0
        ]
        return Pairs(tuple(pair for pair in judged if pair.query and pair.positive), corpus)
    path = _either(folder, "corpus")
    texts: dict[str, str] = {}
    bad: list[str] = []
    for number, line in _lines(path):
        if _text(line, ("text",)):
            texts[str(line.get("_id", ""))] = _clean(f"{line.get('title') or ''}\n{line['text']}")
        else:
            bad.append(f"{path.name}, line {number}: expected a text")
    path = _either(folder, "pairs")
    found = _of_lines(path, _lines(path), texts)
    return replace(found, bad=(*bad, *found.bad))


def _either(folder: Path, name: str) -> Path:
    for path in (folder / f"{name}.jsonl", folder / f"{name}.jsonl.gz"):
        if path.is_file():
            return path
    raise BadInput(f"{folder}: expected queries.jsonl and qrels.tsv, or pairs.jsonl, beside a corpus.jsonl")


def _of_lines(
    path: Path, lines: Iterable[tuple[int, Mapping[str, Any]]], corpus: Mapping[str, str] | None = None
) -> Pairs:
    items: list[Pair] = []
    bad: list[str] = []
    for number, line in lines:
        try:
            items.append(_pair(line, corpus or {}))
        except (TypeError, ValueError) as error:
            bad.append(f"{path.name}, line {number}: {error}")
    return Pairs(tuple(items), corpus or {}, tuple(bad))


def _pair(line: Mapping[str, Any], corpus: Mapping[str, str]) -> Pair:
    line = {key.strip().casefold(): value for key, value in line.items() if key}
    group = _value(line, _GROUP)
    group = "" if group is None else str(group)
    query, positive = _text(line, _QUERY), _text(line, _POSITIVE) or corpus.get(group, "")
    if not query or not positive:
        raise ValueError(f"expected a {_QUERY[0] if not query else _POSITIVE[0]}")
    given = _value(line, _NEGATIVES)
    negatives = [_clean(each) for each in (given if isinstance(given, list) else [given]) if each]
    score = _value(line, _SCORE)
    if score is not None and not math.isfinite(float(score)):
        raise ValueError(f"expected a finite {_SCORE[0]}, got {score}")
    return Pair(
        query,
        positive,
        tuple(dict.fromkeys(each for each in negatives if each and each != positive)),
        None if score is None else float(score),
        group,
    )


def _lines(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Objects or rows, with the number of each line; what is no object is an empty one."""
    kind = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        text = data.decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise BadDocument(path.name, None, f"cannot be read in {path.parent}: {error}") from error
    if kind == ".jsonl":
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                yield number, _object(line)
    elif kind in _DELIMITERS:
        yield from _rows(text, _DELIMITERS[kind])
    else:
        raise BadInput(f"{path}: expected pairs as .jsonl, .csv or .tsv, such a file as .gz, or a folder")


def _rows(text: str, delimiter: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows = iter(reader)
    while True:
        try:
            row = next(rows, None)
        except csv.Error:  # A quotation mark is missing, for one.
            row = {}
        if row is None:
            return
        yield reader.line_num, cast("Mapping[str, Any]", row)


def _object(line: str) -> Mapping[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


def _value(line: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((line[name] for name in names if line.get(name) not in (None, "")), None)


def _text(line: Mapping[str, Any], names: Sequence[str]) -> str:
    value = _value(line, names)
    return _clean(value) if isinstance(value, str) else ""


def _clean(value: object) -> str:
    return clean(str(value)).strip()
