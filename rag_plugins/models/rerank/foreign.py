"""Reranker objects of other libraries. What they give is checked, whatever it is."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from rag_plugins.errors import BadInput, ConfigError
from rag_plugins.models.protocols import Candidate, Scale, Scores
from rag_plugins.models.rerank.candidates import text_view
from rag_plugins.models.rerank.finite import finite
from rag_plugins.models.sides import query_texts, view_texts
from rag_plugins.vectors import FloatArray

__all__ = ["ForeignReranker", "Judge", "Kept", "kept_scores", "mark"]

Judge: TypeAlias = Callable[[str, list[str]], Sequence[Any]]
"""A query and n texts to n scores, higher is better."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A text that an object gave back: the marks it still bears, how it reads now, its score if any."""

    marks: tuple[object, ...]
    text: str
    score: object = None


class ForeignReranker:
    """What another library's object makes of a query and the retrieval views, as scores of the core.

    `scale` is what is known of its scores. Errors of the object itself pass through.
    """

    reads_tokens = False
    reads_images = False

    def __init__(self, name: str, judge: Judge, scale: Scale = "logit") -> None:
        """`name` is how traces call it. Raises `ConfigError` where it is empty."""
        if not name.strip():
            raise ConfigError("name is empty: expected the reranker's, by which stages and traces know it")
        self.name = name
        self.scale: Scale = scale
        self._judge = judge

    def score(self, query: str, candidates: Sequence[Candidate]) -> Scores:
        """Of their text views; one that has only images reads as empty.

        Raises `BadInput` unless the object gives a number for each text; what is not finite scores lowest.
        """
        [text] = query_texts([query])
        passages = view_texts([text_view(candidate) for candidate in candidates])
        if not passages:
            return Scores(np.zeros(0, np.float32))
        try:
            values, notices = finite(_numbers(self._judge(text, passages), len(passages)))
        except Exception as error:
            error.add_note(f"{self.name} was to score {len(passages)} texts")
            raise
        return Scores(values, notices=tuple(f"{self.name}: {notice}" for notice in notices))


def mark(position: int) -> str:
    """What a text is given to carry through an object, so that equal ones stay apart."""
    return f"rag_plugins:{position}"


def kept_scores(texts: Sequence[str], kept: Sequence[Kept]) -> list[float]:
    """A score for each text, from what an object that drops and reorders has kept of them, best first.

    The scores it gave, where all of these have one, else places counted from the end. What it dropped is
    below all that, and below 0. Of a text in several pieces the best counts. Raises `BadInput` for a text
    that bears no mark and is none of these.
    """
    scores = [_number(item.score) for item in kept]
    given = [score for score in scores if score is not None]
    if len(given) < len(kept):
        given = [float(len(kept) - n) for n in range(len(kept))]
    values: dict[int, float] = {}
    for item, score in zip(kept, given, strict=True):
        position = _position(item, texts, values)
        values[position] = float(np.fmax(score, values.get(position, score)))
    dropped = min([0.0, *(value for value in values.values() if np.isfinite(value))]) - 1.0
    return [values.get(n, dropped) for n in range(len(texts))]


def _position(item: Kept, texts: Sequence[str], taken: Collection[int]) -> int:
    """By its mark; else, of those that read the same and so are worth the same, the first not yet taken."""
    for n in range(len(texts)):
        if mark(n) in item.marks:
            return n
    alike = [n for n, text in enumerate(texts) if text == item.text]
    if not alike:
        raise BadInput(
            f"a reranker gave back {item.text[:60]!r}, which it was not given: expected some of the "
            f"{len(texts)} texts, or parts of them under the same id"
        )
    return next((n for n in alike if n not in taken), alike[0])


def _number(score: Any) -> float | None:
    try:
        return None if score is None else float(score)
    except (TypeError, ValueError):
        return None


def _numbers(given: Sequence[Any], count: int) -> FloatArray:
    """As float32, shape (count,); what is beyond that type's range is not finite."""
    try:
        values = np.array(list(given), np.float64)
    except (TypeError, ValueError) as error:
        raise BadInput(
            f"a reranker gave what are no numbers ({error}), expected a score for each text"
        ) from error
    if values.shape != (count,):
        raise BadInput(
            f"a reranker gave scores of shape {values.shape} for {count} texts, expected ({count},)"
        )
    with np.errstate(over="ignore"):
        return values.astype(np.float32)
