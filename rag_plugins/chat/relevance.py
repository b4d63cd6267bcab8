"""Whether anything that was found bears on the question."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from math import log

from rag_plugins.types import Hit

__all__ = ["relevant"]

_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\d_]{4,}|\w*\d\w*")
_SHARED = 1 / 3
_NEAR = 0.3


def relevant(question: str, hits: Sequence[Hit], least: float, rows: int, dense: Collection[str]) -> bool:
    """Whether the best hit has enough nats of evidence, which compare across questions and collections.

    Enough is `least`, or 2 ln `rows` where that is less: by chance alone the best of so many passages has
    ln `rows` in a leg, and in a small collection more evidence than that is hard to come by. With 12 nats, on
    parts of five collections (24, 60, 200, and 1,000 to 15,800 passages): of the questions that were answered
    among the best five 98, 99, 99 and 98 % had enough; of those about other things 8, 12, 9 and 12 %.

    Where legs are not fused by evidence, as below 20 passages: whether a third of the question's longer words
    stand in a hit, or one of the `dense` legs finds one with a cosine of .3 (10 passages: all, and 6 %).
    """
    nats = [stage.score for hit in hits for stage in hit.trace if stage.stage == "adaptive"]
    if nats:
        return max(nats) >= min(least, 2 * log(max(rows, 1)))
    return any(_shared(question, hit) >= _SHARED or _cosine(hit, dense) >= _NEAR for hit in hits)


def _shared(question: str, hit: Hit) -> float:
    words = set(_WORD.findall(question.lower()))
    text = hit.passage.llm_text.lower()
    return sum(word in text for word in words) / len(words) if words else 0.0


def _cosine(hit: Hit, dense: Collection[str]) -> float:
    return max((stage.score for stage in hit.trace if stage.stage in dense), default=0.0)
