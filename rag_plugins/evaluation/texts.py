"""Texts to measure a model on where nobody gives any, and those that somebody does."""

from __future__ import annotations

import ast
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from random import Random

from rag_plugins.errors import BadDocument, BadInput
from rag_plugins.evaluation.beir import read_folder, read_lines
from rag_plugins.text import clean

__all__ = ["manual_texts", "read_queries", "read_texts"]

_WORDS = 12
"""The shortest text that says something of its own."""


def read_texts(path: Path) -> list[str]:
    """The paragraphs of a text file, or the corpus of a BEIR-format folder. Raises `BadDocument`."""
    if path.is_dir():
        return list(read_folder(path).corpus.values())
    try:
        text = clean(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BadDocument(path.name, None, f"cannot be read: {error}") from error
    return [part.strip() for part in re.split(r"\n\s*\n", text) if part.strip()]


def read_queries(path: Path) -> list[str]:
    """One a line, or of JSON lines (`*.jsonl`) the "text" of each. Raises `BadDocument`."""
    if path.suffix == ".jsonl":
        return [str(line["text"]) for line in read_lines(path, "text")]
    return [line for part in read_texts(path) for line in part.splitlines() if line.strip()]


def manual_texts(count: int) -> list[str]:
    """So many passages of English technical prose that every machine has: Python's own documentation.

    They are the docstrings of its standard library. Raises `BadInput` where that comes without sources.
    """
    folder = Path(sysconfig.get_path("stdlib"))
    files = sorted(folder.glob("*.py"))
    Random(0).shuffle(files)
    texts: dict[str, None] = {}
    for file in files:
        if len(texts) < count:
            texts.update(dict.fromkeys(_docstrings(file)))
    if not texts:
        raise BadInput(f"{folder} has no sources to take texts from: give some of your own")
    return list(texts)[:count]


def _docstrings(path: Path) -> Iterator[str]:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(path.read_bytes())):
        text = ast.get_docstring(node) if isinstance(node, kinds) else None
        if text and len(text.split()) >= _WORDS:
            yield clean(text)
