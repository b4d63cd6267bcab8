"""What becomes of an answer on its way to the LLM: recognised, found, and kept in the context.

Retrieval measures say nothing of it where a passage is relevant and its text is wrong, or cut off. Whether a
known answer is still contained after each step tells where answers are lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from rag_plugins.errors import BadInput
from rag_plugins.evaluation.answers import Texts, contains
from rag_plugins.evaluation.judged import Judged
from rag_plugins.index import RagIndex
from rag_plugins.search.outcome import Outcome
from rag_plugins.types import Hit, JsonValue

__all__ = ["BUDGETS", "Containment", "containment"]

BUDGETS = (250, 500, 1000, 2000, 4000)
"""Tokens of a context, where none are given."""

_HITS = 50
"""The most that a context is made of."""

_BEST = 10


@dataclass(frozen=True, slots=True)
class Containment:
    """Shares of the questions with known answers whose answer is there, at each step.

    `transcribed`: in the LLM text of some passage of the collection. `found`: in that of the ten best, fused
    and, where there is a rerank stage, reranked. `contexts`: in what the LLM reads, by budget in tokens.
    """

    questions: int
    transcribed: float
    found: Mapping[str, float]
    contexts: Mapping[str, Mapping[int, float]]

    def to_json(self) -> dict[str, JsonValue]:
        """Plain values, rounded to four digits."""
        return {
            "questions": self.questions,
            "transcribed": round(self.transcribed, 4),
            "found": {stage: round(share, 4) for stage, share in self.found.items()},
            "contexts": {
                stage: {str(budget): round(share, 4) for budget, share in shares.items()}
                for stage, shares in self.contexts.items()
            },
        }


def containment(
    index: RagIndex, judged: Judged, outcomes: Mapping[str, Outcome], budgets: Sequence[int] = BUDGETS
) -> Containment | None:
    """Of searches that were run, by query id; None where no query has a known answer.

    A question whose answer stands nowhere in the collection counts as lost at every step.
    """
    asked = [id for id in judged.answers if id in outcomes or id in judged.unheard]
    if not asked:
        return None
    stages = ["fused", *(["reranked"] if any(o.rerankings for o in outcomes.values()) else [])]
    steps = {
        id: _steps(index, outcomes[id], judged.answers[id], stages, budgets) for id in asked if id in outcomes
    }
    texts = Texts({passage.id: passage.llm_text for batch in index.store.scan() for passage in batch})
    heard = [id for id in asked if any(any(texts.holding(answer)) for answer in judged.answers[id])]
    return Containment(
        questions=len(asked),
        transcribed=len(heard) / len(asked),
        found={stage: fmean(steps.get(id, {}).get((stage, 0), False) for id in asked) for stage in stages},
        contexts={
            stage: {
                budget: fmean(steps.get(id, {}).get((stage, budget), False) for id in asked)
                for budget in budgets
            }
            for stage in stages
        },
    )


def _steps(
    index: RagIndex, outcome: Outcome, answers: Sequence[str], stages: Sequence[str], budgets: Sequence[int]
) -> dict[tuple[str, int], bool]:
    """By stage and budget; budget 0 stands for the ten best hits."""
    rankings = {"fused": [(item.id, item.score) for item in outcome.fused], "reranked": outcome.final}
    made: dict[tuple[str, int], bool] = {}
    for stage in stages:
        best = rankings[stage][:_HITS]
        passages = index.store.fetch([id for id, _ in best]) if best else {}
        hits = [Hit(passages[id], score, ()) for id, score in best if id in passages]
        made[stage, 0] = any(contains(hit.passage.llm_text, answers) for hit in hits[:_BEST])
        for budget in budgets:
            made[stage, budget] = contains(_context(index, hits, budget), answers)
    return made


def _context(index: RagIndex, hits: Sequence[Hit], budget: int) -> str:
    try:
        return index.context(hits, budget=budget).text
    except BadInput:  # The frame alone takes more.
        return ""
