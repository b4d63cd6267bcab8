"""How good is each stage: every leg alone, fused, reranked, with funnels and without, on known answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from types import MappingProxyType

import numpy as np
from tqdm import tqdm

from rag_plugins.config import Config
from rag_plugins.errors import BadInput
from rag_plugins.evaluation.filling import indexed
from rag_plugins.evaluation.funnels import FunnelUse, funnel_use, prefix_rankings
from rag_plugins.evaluation.generation import BUDGETS, Containment, containment
from rag_plugins.evaluation.judged import Judged
from rag_plugins.evaluation.measures import MEASURES, Measures
from rag_plugins.evaluation.stages import Kind, Stage, Stages
from rag_plugins.fusion import Ranking
from rag_plugins.index import RagIndex
from rag_plugins.models.protocols import Encoder
from rag_plugins.search.outcome import Outcome
from rag_plugins.types import JsonValue

__all__ = ["Evaluation", "evaluate", "evaluate_folder"]

_BEST = 10
_DEPTH = 100
"""Hits a leg, as a search for 10 has it; also what Recall@100 needs."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Measures by stage, of the queries in `judged`; milliseconds of a query by stage, p50 and p95.

    `found` has by query the passages of the last stage, the ten best. `funnels` says how each dense leg was
    searched, None for exactly. `funnel_off` has the stages that funnels touch, searched without them; None
    where no leg has one. `containment` is of queries with known answers.
    """

    judged: Judged
    measures: Measures
    stages: Stages
    found: Mapping[str, tuple[str, ...]]
    funnels: dict[str, FunnelUse | None]
    funnel_off: Stages | None
    passages: int
    ms_per_query: dict[str, float]
    ms_p95: dict[str, float]
    containment: Containment | None = None

    @property
    def queries(self) -> int:
        """How many were searched with."""
        return len(self.judged.qrels)

    def to_json(self) -> dict[str, JsonValue]:
        """Plain values; measures rounded to four digits, milliseconds to two."""
        return {
            **self.stages.to_json(),
            "funnels": {leg: use and use.to_json() for leg, use in self.funnels.items()},
            "funnel_off": self.funnel_off and self.funnel_off.to_json(),
            "queries": self.queries,
            "queries_from": self.judged.source,
            "answer_in_no_passage": list(self.judged.unheard),
            "not_in_collection": dict(self.judged.absent),
            "passages": self.passages,
            "ms_per_query": _rounded(self.ms_per_query),
            "ms_p95": _rounded(self.ms_p95),
            "containment": self.containment and self.containment.to_json(),
        }


def evaluate_folder(
    folder: str | Path,
    config: Config,
    *,
    queries: int | None = None,
    chunked: bool = False,
    measures: Measures = MEASURES,
    encoders: Mapping[str, Encoder] = MappingProxyType({}),
    progress: bool = False,
) -> Evaluation:
    """Index a BEIR-format folder afresh and search it with its queries: see `indexed`, and `evaluate`."""
    with indexed(folder, config, queries=queries, chunked=chunked, encoders=encoders, progress=progress) as (
        index,
        judged,
    ):
        return evaluate(index, judged, measures=measures, progress=progress)


def evaluate(
    index: RagIndex,
    judged: Judged,
    *,
    measures: Measures = MEASURES,
    budgets: Sequence[int] = BUDGETS,
    progress: bool = False,
) -> Evaluation:
    """Search a collection with queries whose answers are known, and measure what each stage makes of them.

    `budgets`, in tokens, are of the contexts that known answers are looked for in. Raises `BadInput` where
    there is no such query.
    """
    if not judged.qrels:
        raise BadInput("no query has a relevant document or passage in the collection: nothing to measure")
    prefixes = {leg.name: index.store.prefixes(leg.name) for leg in index.config.legs if leg.kind == "dense"}
    on: dict[str, Outcome] = {}
    off: dict[str, Outcome] = {}
    for id in tqdm(judged.qrels, desc="Searching", disable=not progress):
        on[id] = _measured(index, judged.queries[id])
        if any(prefixes.values()):
            off[id] = _measured(index, judged.queries[id], exact=True)
    searched = {leg for outcome in on.values() for leg in outcome.rankings}  # None of weight zero is.
    prefixes = {leg: found for leg, found in prefixes.items() if leg in searched}
    table = _Table(judged, measures)
    narrow = {
        leg: prefix_rankings(index, leg, found, [judged.queries[id] for id in on], _DEPTH)
        for leg, found in prefixes.items()
        if found
    }
    return Evaluation(
        judged=judged,
        measures=measures,
        stages=table.stages(on, narrow),
        found={id: tuple(passage for passage, _ in outcome.final[:_BEST]) for id, outcome in on.items()},
        funnels={
            leg: found and funnel_use(leg, found, list(on.values()), list(off.values()))
            for leg, found in prefixes.items()
        },
        funnel_off=table.stages(off, {}, [leg for leg in prefixes if prefixes[leg]]) if off else None,
        passages=index.count(),
        ms_per_query=_milliseconds(on.values(), median),
        ms_p95=_milliseconds(on.values(), lambda values: float(np.quantile(values, 0.95))),
        containment=containment(index, judged, on, budgets),
    )


def _measured(index: RagIndex, query: str, *, exact: bool = False) -> Outcome:
    """A search's outcome, with what legs that were left out of it would have found."""
    outcome = index.run(query, _DEPTH, depth=_DEPTH, exact=exact)
    if outcome.left_out:
        outcome.rankings |= index.run(
            query, _DEPTH, legs=outcome.left_out, depth=_DEPTH, exact=exact
        ).rankings
    return outcome


@dataclass(frozen=True, slots=True)
class _Table:
    """Makes stages of outcomes by query id."""

    judged: Judged
    measures: Measures

    def stages(
        self,
        outcomes: Mapping[str, Outcome],
        narrow: Mapping[str, Mapping[str, Sequence[Ranking]]],
        only: Sequence[str] = (),
    ) -> Stages:
        """Of the legs named, or of all; `narrow` has by leg the rankings of its funnel's earlier stages."""
        found: list[Stage] = []
        for leg in dict.fromkeys(
            only or (name for outcome in outcomes.values() for name in outcome.rankings)
        ):
            for name, rankings in narrow.get(leg, {}).items():
                found.append(self._stage(name, "funnel", dict(zip(outcomes, rankings, strict=True))))
            found.append(self._stage(leg, "leg", {q: o.rankings.get(leg, ()) for q, o in outcomes.items()}))
        fused = {q: [(item.id, item.score) for item in o.fused] for q, o in outcomes.items()}
        found.append(self._stage("fused", "fusion", fused))
        for name in dict.fromkeys(each.stage for o in outcomes.values() for each in o.rerankings):
            found.append(self._stage(name, "rerank", {q: o.reranked(name) for q, o in outcomes.items()}))
        return Stages(tuple(found))

    def _stage(self, name: str, kind: Kind, rankings: Mapping[str, Iterable[tuple[str, float]]]) -> Stage:
        run = {query: self.judged.scores(query, ranking) for query, ranking in rankings.items()}
        return Stage.of(name, kind, run, self.judged.qrels, self.measures)


def _milliseconds(
    outcomes: Iterable[Outcome], figure: Callable[[Sequence[float]], float]
) -> dict[str, float]:
    """A figure of each stage's times, and of their sums."""
    seconds = [outcome.seconds for outcome in outcomes]
    stages = dict.fromkeys(stage for row in seconds for stage in row)
    of_stages = {stage: 1000 * figure([row.get(stage, 0.0) for row in seconds]) for stage in stages}
    return {**of_stages, "total": 1000 * figure([sum(row.values()) for row in seconds])}


def _rounded(values: Mapping[str, float]) -> dict[str, JsonValue]:
    return {name: round(value, 2) for name, value in values.items()}
