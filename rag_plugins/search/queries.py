"""What is asked: one query, or several whose rankings become one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from rag_plugins.config import FusionConfig
from rag_plugins.errors import BadInput, SideError
from rag_plugins.fusion import fuse, shares
from rag_plugins.lexical.rules import Query, words
from rag_plugins.search.outcome import Outcome
from rag_plugins.text import clean

__all__ = ["asked", "joined", "weighed"]


def asked(queries: Sequence[str | Query]) -> list[str | Query]:
    """The queries, texts cleaned. Raises `BadInput` where there is none, `SideError` for what is no query."""
    if isinstance(queries, str | Query) or not queries:
        raise BadInput(f"got {queries!r}, expected a list of queries, the question first")
    return [_asked(query) for query in queries]


def _asked(query: object) -> str | Query:
    if isinstance(query, str):
        return clean(query).strip()
    if not isinstance(query, Query):
        raise SideError(
            f"got {type(query).__name__} as a query, expected str or Query: views are for documents"
        )
    return query


def weighed(
    queries: Sequence[str | Query], weights: Sequence[float] | None, wordless: bool = False
) -> dict[str | Query, float]:
    """The queries to search with their weights, 1 by default: each once, with the weight it has first.

    Blank ones are left out, but for a first one that is searched `wordless`, by a vector; and those of weight
    zero unless all are. Raises `BadInput`.
    """
    weights = [1.0] * len(queries) if weights is None else weights
    if len(weights) != len(queries) or not all(0 <= weight < math.inf for weight in weights):
        raise BadInput(f"weights {list(weights)}: expected {len(queries)} of at least 0, one a query")
    first: dict[str | Query, float] = {}
    for n, (query, weight) in enumerate(zip(queries, weights, strict=True)):
        if words(query) or (wordless and not n):
            first.setdefault(query, weight)
    return {query: weight for query, weight in first.items() if weight > 0} or first


def joined(outcomes: Sequence[Outcome], weights: Iterable[float], config: FusionConfig) -> Outcome:
    """What became of several queries as of one: to fusion a query is what a leg is.

    Fused scores are not spread as a leg's are, since their tail is what one leg alone found: no mean and
    deviation describe them. So whatever joined the legs, min-max joins the queries (each one's best counts
    the same), or their ranks where the legs' are `rrf`.
    """
    if len(outcomes) < 2:
        return next(iter(outcomes), Outcome(config.method))
    queries = {f"query {number}": outcome for number, outcome in enumerate(outcomes, 1)}
    made = Outcome("rrf" if config.method == "rrf" else "minmax", queries=queries)
    with made.timed("fusion"):
        weight = dict(zip(queries, weights, strict=True))
        made.rankings = {name: outcome.final for name, outcome in queries.items()}
        made.shares = shares({name: weight[name] for name, ranking in made.rankings.items() if ranking})
        made.fused = fuse(made.rankings, made.shares, made.fusion, config.rrf_k)
    made.confidences = {id: sure for outcome in outcomes for id, sure in outcome.confidences.items()}
    made.notices = list(dict.fromkeys(notice for outcome in outcomes for notice in outcome.notices))
    for outcome in outcomes:
        _add(outcome.seconds, made.seconds)
    return made


def _add(seconds: Mapping[str, float], to: dict[str, float]) -> None:
    for stage, spent in seconds.items():
        to[stage] = to.get(stage, 0.0) + spent
