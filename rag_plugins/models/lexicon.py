"""A domain dictionary: words that must stay whole, what each weighs, what else it is called, what to ignore.

TOML:

    stop_words = ["please", "show"]
    [terms]
    "error code" = {weight = 2.0, synonyms = ["fault code"]}
    "过滤器" = {}

CSV, in UTF-8, with this head line, synonyms separated by semicolons; weight 0 makes a stop word:

    term,weight,synonyms
    error code,2.0,fault code;trouble code
    过滤器,,
    please,0,

A term of several words, or of Chinese, is kept whole besides its parts, so other terms mean another index.
Weights, synonyms and stop words are the query's: they may change at any time.
"""

from __future__ import annotations

import csv
import hashlib
import json
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from rag_plugins.errors import ConfigError
from rag_plugins.models.words import fold, units

__all__ = ["DictionaryTerm", "DomainDictionary"]


def _entry(text: str) -> str:
    folded = " ".join(fold(text).split())
    if not units(folded):
        raise ValueError(f"{text!r} has no letter or digit")
    return folded


class DictionaryTerm(BaseModel):
    """`weight` multiplies what the term adds to a score; `synonyms` are searched for with it, and find it."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    weight: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] = 1.0
    synonyms: tuple[str, ...] = ()

    @field_validator("synonyms")
    @classmethod
    def _folded(cls, synonyms: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(map(_entry, synonyms)))


class DomainDictionary(BaseModel):
    """Terms and stop words, folded; see the module's head. Built in code, it raises pydantic's errors."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    terms: Mapping[str, DictionaryTerm] = {}
    stop_words: frozenset[str] = frozenset()

    @field_validator("terms")
    @classmethod
    def _folded_terms(cls, terms: Mapping[str, DictionaryTerm]) -> Mapping[str, DictionaryTerm]:
        folded = {term: _entry(term) for term in terms}
        twice = [entry for entry, count in Counter(folded.values()).items() if count > 1]
        if twice:
            raise ValueError(f"{', '.join(map(repr, twice))}: given twice, capitals do not matter")
        return {folded[term]: properties for term, properties in terms.items()}

    @field_validator("stop_words")
    @classmethod
    def _folded_stop_words(cls, words: frozenset[str]) -> frozenset[str]:
        phrases = sorted(word for word in words if len(word.split()) > 1)
        if phrases:
            raise ValueError(f"{', '.join(map(repr, phrases))}: a stop word is one word")
        return frozenset(map(_entry, words))

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        both = sorted(self.stop_words.intersection(self.terms))
        if both:
            raise ValueError(f"{', '.join(map(repr, both))}: both a term and a stop word")
        return self

    @cached_property
    def whole(self) -> frozenset[str]:
        """The terms that analysis by itself would cut."""
        return frozenset(term for term in self.terms if len(units(term)) > 1)

    @property
    def segmentation(self) -> str:
        """Tells sets of whole terms apart: how many, and a digest."""
        digest = hashlib.sha256(json.dumps(sorted(self.whole)).encode()).hexdigest()
        return f"{len(self.whole)} kept whole, {digest[:8]}"

    @classmethod
    def from_file(cls, path: str | Path) -> DomainDictionary:
        """Read a .toml or .csv file; raises `ConfigError` with the file, the line or key, and the reason."""
        path = Path(path)
        if path.suffix.lower() not in _READERS:
            raise ConfigError(f"{path}: a dictionary is a .toml or a .csv file")
        try:
            return cls.model_validate(_READERS[path.suffix.lower()](path.read_text(encoding="utf-8-sig")))
        except ValidationError as error:
            raise ConfigError(f"{path}: {'; '.join(map(_problem, error.errors()))}") from None
        except (OSError, ValueError, RecursionError) as error:
            raise ConfigError(f"{path}: {error}") from error

    def to_toml(self) -> str:
        """As `from_file` reads it."""
        lines = [f"stop_words = {_toml(sorted(self.stop_words))}", "", "[terms]"]
        for term, properties in self.terms.items():
            synonyms = _toml(list(properties.synonyms))
            lines.append(f"{_toml(term)} = {{weight = {properties.weight!r}, synonyms = {synonyms}}}")
        return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    """Strings and lists of strings are written alike in JSON and TOML, but for one character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _problem(problem: Any) -> str:
    where = ".".join(f'"{key}"' if " " in str(key) else str(key) for key in problem["loc"])
    return f"{where or 'dictionary'}: {problem['msg'].removeprefix('Value error, ')}"


_COLUMNS = ("term", "weight", "synonyms")


def _csv(text: str) -> dict[str, Any]:
    rows = _filled(csv.reader(StringIO(text, newline=""), strict=True))
    first, head = next(rows, (1, []))
    if "term" not in head or not set(head) <= set(_COLUMNS) or len(set(head)) < len(head):
        raise ValueError(f"line {first}: expected the columns {', '.join(_COLUMNS)}, got {', '.join(head)}")
    terms: dict[str, Any] = {}
    for line, row in rows:
        if len(row) > len(head):
            raise ValueError(f"line {line}: {len(row)} values for {len(head)} columns")
        values = dict(zip(head, row, strict=False))
        term = values.get("term", "")
        if term in terms:
            raise ValueError(f"line {line}: {term!r} is given twice")
        terms[term] = _row(line, term, values)
    return {"terms": terms}


def _filled(rows: Any) -> Iterator[tuple[int, list[str]]]:
    try:
        for row in rows:
            if any(value.strip() for value in row):
                yield rows.line_num, [value.strip() for value in row]
    except csv.Error as error:
        raise ValueError(f"line {rows.line_num}: {error}") from error


def _row(line: int, term: str, values: Mapping[str, str]) -> DictionaryTerm:
    try:
        _entry(term)
        return DictionaryTerm(
            weight=float(values.get("weight") or 1.0),
            synonyms=tuple(filter(str.strip, values.get("synonyms", "").split(";"))),
        )
    except ValidationError as error:
        raise ValueError(f"line {line}: {'; '.join(map(_problem, error.errors()))}") from None
    except ValueError as error:
        raise ValueError(f"line {line}: {error}") from error


_READERS = {".toml": tomllib.loads, ".csv": _csv}
