"""The trace of a hit as rows of a table, with bars of what each stage gave."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from rag_plugins.types import Hit, StageScore

__all__ = ["StageName", "StageRow", "name_of", "remark", "stage_names", "stage_rows"]

StageName: TypeAlias = tuple[str, str, str | None]
"""Name, kind, and the query where several were searched."""

_ORDER = {"shortlist": 0, "leg": 0, "left out": 0, "fusion": 1, "queries": 2, "rerank": 3}

_JOINS = {"fusion": "leg", "queries": "fusion"}
"""Whose scores each kind of fusion adds up."""


@dataclass(frozen=True, slots=True)
class StageRow:
    """One stage of a hit's trace; no rank where the stage did not find it, 0 where it was left out.

    `shares` are (leg number, share of the best fused score), the bars to draw; `remark` is what a reranker's
    score means and how much it read, where there is something to say; `why` the reason for a leg's weight.
    """

    name: str
    kind: str
    rank: int | None = None
    score: float | None = None
    weight: float | None = None
    shares: tuple[tuple[int, float], ...] = ()
    remark: str = ""
    why: str = ""


def name_of(score: StageScore) -> StageName:
    """What tells a stage from the others of a trace."""
    return score.stage, score.kind, score.query


def stage_names(hits: Sequence[Hit]) -> list[StageName]:
    """Every stage that any of the hits went through: legs and fusion, query after query, then the rest."""
    names = dict.fromkeys(name_of(score) for hit in hits for score in hit.trace)
    queries = list(dict.fromkeys(query for _, _, query in names if query is not None))
    return sorted(
        names, key=lambda name: (len(queries) if name[2] is None else queries.index(name[2]), _ORDER[name[1]])
    )


def stage_rows(hit: Hit, hits: Sequence[Hit], stages: Sequence[StageName]) -> Iterator[StageRow]:
    """The trace of one of the hits, with bars relative to the best fused score among them all."""
    seen = {name_of(score): score for hit in reversed(hits) for score in hit.trace}
    found = {name for name in stages if name[1] == "left out"}.union(map(name_of, hit.trace))
    bars: dict[StageName, tuple[tuple[int, float], ...]] = {}
    for name in stages:
        if name[1] in _JOINS:
            parts = _parts(name, hit, hits, stages)
            bars = {part: (share,) for part, share in parts.items()} | bars | {name: tuple(parts.values())}
    for name in stages:
        yield _stage_row(seen[name], name in found, bars.get(name, ()))


def _parts(
    name: StageName, one: Hit, hits: Sequence[Hit], stages: Sequence[StageName]
) -> dict[StageName, tuple[int, float]]:
    """What each stage that this one joins gave a hit: its number, its share of the best score."""
    _, kind, query = name
    found = {name_of(score): score.part or 0.0 for score in one.trace}
    top = max(score.score for hit in hits for score in hit.trace if name_of(score) == name)
    joined = [part for part in stages if part[1] == _JOINS[kind] and query in (part[2], None)]
    return {
        part: (number, min(max(found[part], 0.0) / top, 1.0))
        for number, part in enumerate(joined, 1)
        if top > 0 and part in found
    }


def _stage_row(score: StageScore, found: bool, shares: tuple[tuple[int, float], ...]) -> StageRow:
    kind = score.kind if score.query is None else f"{score.kind} for “{score.query}”"
    row = StageRow(score.stage, kind, why=score.why or "")
    values = {"rank": score.rank, "score": score.score, "weight": score.weight, "shares": shares}
    return replace(row, **values, remark=remark(score)) if found else row


def remark(score: StageScore) -> str:
    """What a reranker's score means, and how much it read of a passage not read as a whole at once."""
    said: list[str] = []
    if score.probability is not None:
        said.append(f"probability {score.probability:.3f}")
    if score.read is not None:
        windows = f" in {score.windows} windows" if (score.windows or 1) > 1 else ""
        said.append(f"read {score.read} of {score.tokens} tokens{windows}")
    return ", ".join(said)
