"""What was measured of a set's texts, from the true one to the noisiest: see `evaluate_ceiling`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rag_plugins.errors import BadDocument
from rag_plugins.evaluation.answers import AnswerFrom, Replies
from rag_plugins.evaluation.ceiling.transcription import Transcription
from rag_plugins.types import JsonValue

__all__ = ["Ceiling", "Found", "Level"]

_LOST = 0.02
"""nDCG below which a loss is none to speak of, and what is recovered of it chance."""


@dataclass(frozen=True, slots=True)
class Found:
    """nDCG@5 of legs fused, and after the last rerank stage; None where there is none.

    `answered` is the share of the queries with known answers whose five best passages contain one, in what
    the LLM reads of them; None where no query has any.
    """

    fused: float
    reranked: float | None
    answered: float | None

    def to_json(self) -> dict[str, JsonValue]:
        """Plain values, rounded to four digits."""
        values = {"fused": self.fused, "reranked": self.reranked, "answered": self.answered}
        return {name: None if value is None else round(value, 4) for name, value in values.items()}


@dataclass(frozen=True, slots=True)
class Level:
    """Retrieval by one text of the documents, with the median character error rate of that.

    `legs` has nDCG@5 of each leg alone. `plain` is of the legs that take text as it is, `dual` of all: those,
    the robust one, and those that read images where the text was recognised from them.
    """

    text: str
    error: float
    legs: Mapping[str, float]
    plain: Found
    dual: Found

    def to_json(self) -> dict[str, JsonValue]:
        """Plain values, rounded to four digits."""
        return {
            "text": self.text,
            "error": round(self.error, 4),
            "legs": {name: round(value, 4) for name, value in self.legs.items()},
            "plain": self.plain.to_json(),
            "dual": self.dual.to_json(),
        }


@dataclass(frozen=True, slots=True)
class Ceiling:
    """Levels, the true text first; how well pages were recognised, and what could not be read.

    `replies` are of an LLM that answered from what dual mode found, by what it was given.
    """

    name: str
    queries: int
    documents: int
    answerable: int
    plain_legs: tuple[str, ...]
    dual_legs: tuple[str, ...]
    levels: tuple[Level, ...]
    ocr: Transcription | None = None
    bad: tuple[BadDocument, ...] = ()
    replies: Mapping[AnswerFrom, Replies] = field(default_factory=dict[AnswerFrom, Replies])

    def lost(self, level: Level) -> float:
        """nDCG@5, fused, that plain legs lose where they read this text instead of the true one."""
        return self.levels[0].plain.fused - level.plain.fused

    def recovered(self, level: Level) -> float | None:
        """The share of the loss that dual mode gives back, above 1 where it is better than the true text.

        None where less than .02 is lost.
        """
        if self.lost(level) < _LOST:
            return None
        return (level.dual.fused - level.plain.fused) / self.lost(level)

    def to_json(self) -> dict[str, JsonValue]:
        """Plain values, rounded to four digits."""
        recovered = {level.text: self.recovered(level) for level in self.levels[1:]}
        return {
            "set": self.name,
            "queries": self.queries,
            "documents": self.documents,
            "answerable": self.answerable,
            "plain_legs": list(self.plain_legs),
            "dual_legs": list(self.dual_legs),
            "levels": [level.to_json() for level in self.levels],
            "recovered": {text: share and round(share, 4) for text, share in recovered.items()},
            "ocr": self.ocr and self.ocr.to_json(),
            "not_read": [str(bad) for bad in self.bad],
            "answer_from": {source: replies.to_json() for source, replies in self.replies.items()},
        }
