"""The model that the package brings, and texts for it, as several pictures need them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import rag_plugins
from rag_plugins import ComputeConfig, EmbedText
from rag_plugins.config import DenseLeg
from rag_plugins.models.dense import DenseEncoder
from rag_plugins.models.protocols import Representation
from rag_plugins.vectors import Matrix

__all__ = ["EXACT", "descriptions", "encoder", "token_matrix", "vectors"]

EXACT = ComputeConfig(backend="torch", precision="fp32")
"""The same on every machine."""

_TOKENS = frozenset({Representation.TOKENS})


@cache
def encoder() -> DenseEncoder:
    """The default dense model."""
    return DenseEncoder(DenseLeg(), EXACT)


def vectors(texts: list[str]) -> Matrix:
    """One row a text."""
    dense = encoder().encode_documents([EmbedText(text) for text in texts]).dense
    assert dense is not None
    return dense


def token_matrix(text: str) -> tuple[list[str], Matrix]:
    """The tokens of a text and their vectors."""
    spans = encoder().query_spans(text)[0]
    found = encoder().encode_queries([text], _TOKENS).tokens
    assert found is not None
    tokens, matrix = [text[start:end] for start, end in spans], found[0]
    shown = [n for n, token in enumerate(tokens) if token]
    return [tokens[n] for n in shown], matrix[shown]


def descriptions() -> list[str]:
    """First lines of docstrings of the package, every other one: texts that are wherever it is."""
    root = Path(rag_plugins.__file__).parent
    return sorted({text for path in root.rglob("*.py") for text in _docstrings(path)})[::2]


def _docstrings(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (
            text := ast.get_docstring(node)
        ):
            yield text.splitlines()[0]
