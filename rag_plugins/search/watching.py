"""What a search tells of itself: a span, and a line of the log with the same names."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from time import perf_counter
from typing import TypeAlias

from rag_plugins.lexical.rules import Query, words
from rag_plugins.search.outcome import Outcome
from rag_plugins.tracing import Attribute, captures_content, span
from rag_plugins.types import Hits

__all__ = ["watched"]

_logger = logging.getLogger("rag_plugins.search")

Told: TypeAlias = Callable[[Outcome, Hits], Hits]
"""To be called with what became of the search; gives the hits back."""


@contextmanager
def watched(collection: str, k: int, mode: str) -> Generator[Told]:
    """A search within: spans of its stages are children of its own, and it is logged once, at DEBUG."""
    start = perf_counter()
    asked: dict[str, Attribute] = {
        "gen_ai.operation.name": "retrieval",
        "gen_ai.data_source.id": collection,
        "db.system.name": "milvus",
        "db.collection.name": collection,
        "rag_plugins.k": k,
        "rag_plugins.mode": mode,
    }
    with span("rag_plugins.search", asked) as current:

        def told(outcome: Outcome, hits: Hits) -> Hits:
            found = _found(outcome, len(hits))
            for name, value in found.items():
                current.set_attribute(name, value)
            if captures_content():
                current.set_attribute("gen_ai.retrieval.query.text", words(_question(outcome)))
            _log(outcome, {**asked, **found}, perf_counter() - start)
            return hits

        yield told


def _found(outcome: Outcome, hits: int) -> dict[str, Attribute]:
    """The legs are those that ran, for any of several queries."""
    ran = (leg for each in outcome.queries.values() or [outcome] for leg in each.rankings)
    return {
        "rag_plugins.queries": len(outcome.queries) or 1,
        "rag_plugins.legs": list(dict.fromkeys(ran)),
        "rag_plugins.fusion": outcome.fusion,
        "rag_plugins.hits": hits,
    }


def _question(outcome: Outcome) -> str | Query:
    return next(iter(outcome.queries.values()), outcome).query


def _log(outcome: Outcome, facts: Mapping[str, Attribute], seconds: float) -> None:
    if not _logger.isEnabledFor(logging.DEBUG):
        return
    stages = {stage: round(1e3 * spent, 3) for stage, spent in outcome.seconds.items()}
    times = {"rag_plugins.milliseconds": round(1e3 * seconds, 3), "rag_plugins.stages": stages}
    _logger.debug(
        "%d hits of k=%d in %.1f ms",
        facts["rag_plugins.hits"],
        facts["rag_plugins.k"],
        1e3 * seconds,
        extra={**facts, **times},
    )
