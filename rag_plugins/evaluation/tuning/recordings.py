"""What legs find and rerankers say of queries, asked once: any fusion and cascade follows from it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import median
from time import perf_counter

import numpy as np
from tqdm import tqdm

from rag_plugins.config import Bm25Leg, Config, LegConfig, RerankerConfig, VectorLeg
from rag_plugins.evaluation.judged import Judged
from rag_plugins.evaluation.measures import Run
from rag_plugins.evaluation.tuning.narrowing import leg_funnels
from rag_plugins.evaluation.tuning.space import FunnelSetting
from rag_plugins.fusion import Learned, Linear, Ranking, Scale, add_up, evidence, fuse, shares, shifted
from rag_plugins.index import RagIndex
from rag_plugins.models.protocols import Leg, Scores
from rag_plugins.search.cascade import Shortlist
from rag_plugins.search.outcome import Outcome
from rag_plugins.search.reranking import RerankStage, below, pruned, reranked
from rag_plugins.types import embed_text

__all__ = ["DEEPEST", "Recordings"]

DEEPEST = 200
"""Hits of a leg that are recorded."""

_K = 10
_TIMED = 50
"""Queries that a stage is timed on."""


@dataclass(frozen=True, slots=True)
class _Costs:
    """Milliseconds of a query, medians: of what every search has, and of each leg."""

    always: float
    legs: Mapping[str, float]


class Recordings:
    """An index searched with judged queries, as deep as any setting may ask for.

    Learned sparse, image and other legs are recorded as they are; BM25 also under other k1 and b, where the
    collection is a file. Rerank scores are asked for as they are needed, and kept.
    """

    def __init__(self, index: RagIndex, judged: Judged, *, progress: bool = False) -> None:
        """Search with every query that has something relevant."""
        self._index = index
        self._judged = judged
        self._stages: Sequence[RerankStage] = index.parts.stages
        self._legs: dict[str, Leg] = {leg.name: leg for leg in index.parts.legs}
        self._outcomes: dict[str, Outcome] = {}
        for id in tqdm(judged.qrels, desc="Recording", disable=not progress):
            self._outcomes[id] = _recorded(index, judged.queries[id])
        self._shortlist = Shortlist(index.store)
        self._scores: dict[int, dict[str, dict[str, float]]] = defaultdict(dict)
        self._bm25: dict[tuple[str, float, float], dict[str, Ranking]] = {}
        asked = {id: judged.queries[id] for id in judged.qrels}
        made = {leg.name: leg_funnels(index, leg, asked) for leg in index.config.legs if leg.weight != 0}
        self._funnels = {name: funnels for name, funnels in made.items() if funnels}
        self._pair_ms: dict[int, float] = {}

    @property
    def queries(self) -> Sequence[str]:
        """Ids of the queries that were recorded."""
        return list(self._outcomes)

    @property
    def learned(self) -> Learned | None:
        """What adaptive fusion knows of the legs, None where it would not be used."""
        fusion = {outcome.fusion for outcome in self._outcomes.values()}
        return self._index.learned if fusion == {"adaptive"} else None

    @property
    def funnels(self) -> Mapping[str, Sequence[FunnelSetting]]:
        """Those that legs may be searched by."""
        return {name: funnels.choices for name, funnels in self._funnels.items()}

    def run(self, config: Config, queries: Iterable[str]) -> Run:
        """What a search under this configuration would rank, by query, in the units of the judgements.

        It may differ from the index's in fusion, weights, depths and funnels of legs, k1 and b, and in the
        depths, blends and number of its rerank stages.
        """
        return {id: self._judged.scores(id, self._final(config, id)) for id in queries}

    def milliseconds(self, config: Config) -> float:
        """What a query takes under a configuration, in the median, estimated from what was timed."""
        costs = self._costs
        legs = sum(costs.legs.get(leg.name, 0.0) * self._share(leg) for leg in config.legs if leg.weight != 0)
        return (
            costs.always
            + legs
            + sum(stage.depth * self._pair_cost(self._number(stage)) for stage in config.rerank)
        )

    def _final(self, config: Config, query: str) -> Ranking:
        outcome = self._outcomes[query]
        ranking = self._fused(config, query)
        for stage in config.rerank:
            number = self._number(stage)
            head, rest = ranking[: stage.depth], ranking[stage.depth :]
            raw = self._scored(number, query, [id for id, _ in head])
            read = [id for id, _ in head if id in raw]
            if not read:
                continue
            scores = Scores(np.array([raw[id] for id in read], np.float32))
            reranker = self._stages[number].reranker
            doubts = {} if reranker.reads_images else outcome.confidences
            items = reranked(head, scores, stage, reranker.scale, read, doubts) + below(rest)
            if stage.min_score is not None:
                items, _ = pruned(items, stage.min_score, "", _K)
            ranking = [(item.id, item.score) for item in items]
        return ranking

    def _fused(self, config: Config, query: str) -> Ranking:
        outcome, method = self._outcomes[query], config.fusion.method
        fixed = any(leg.weight for leg in config.legs)
        adaptive = method == "adaptive" and not fixed and outcome.fusion == "adaptive"
        depth = config.fusion.depth or 100
        rankings: dict[str, Ranking] = {}
        for leg in config.legs:
            if leg.weight != 0 and not (adaptive and leg.name in outcome.left_out):
                rankings[leg.name] = self._ranking(leg, query, leg.depth or depth)
        found = {name: ranking for name, ranking in rankings.items() if ranking}
        if adaptive:
            weights = {name: outcome.shares.get(name, 1.0) for name in found}
            deep = {leg.name: leg.depth or depth for leg in config.legs}
            nats = {name: evidence(found[name], self._scale(config, name), deep[name]) for name in found}
            items = add_up(nats, weights, self._shifted(outcome, weights))
        else:
            given = {leg.name: 1.0 if leg.weight is None else leg.weight for leg in config.legs}
            weights = shares({name: given[name] for name in found}) if found else {}
            plain = "minmax" if method == "adaptive" else method
            items = fuse(found, weights, plain, config.fusion.rrf_k, self._shifted(outcome, weights))
        return [(item.id, item.score) for item in items]

    def _shifted(self, outcome: Outcome, weights: Mapping[str, float]) -> dict[str, dict[str, float]]:
        fragile = {name for name, leg in self._legs.items() if leg.reads == "text" and not leg.robust}
        return {id: shifted(weights, fragile, sure) for id, sure in outcome.confidences.items()}

    def _scale(self, config: Config, leg: str) -> Scale:
        settings = next(each for each in config.legs if each.name == leg)
        if isinstance(settings, Bm25Leg):
            return Linear(settings.k1 + 1.0)
        learned = self._index.learned
        assert learned is not None  # noqa: S101
        return learned.legs[leg].scale

    def _share(self, leg: LegConfig) -> float:
        """What it costs by its funnel, as a share of what it costs by the collection's."""
        if isinstance(leg, VectorLeg) and leg.name in self._funnels:
            return self._funnels[leg.name].share(leg.funnel)
        return 1.0

    def _ranking(self, leg: LegConfig, query: str, depth: int) -> Ranking:
        if isinstance(leg, VectorLeg) and leg.name in self._funnels:
            ranking = self._funnels[leg.name].ranking(leg.funnel, query, depth)
            if ranking is not None:
                return ranking
        if isinstance(leg, Bm25Leg) and not self._as_built(leg):
            key = (leg.name, leg.k1, leg.b)
            if key not in self._bm25:
                self._bm25[key] = self._searched(leg)
            return self._bm25[key][query][:depth]
        return self._outcomes[query].rankings.get(leg.name, ())[:depth]

    def _as_built(self, leg: Bm25Leg) -> bool:
        built = next(each for each in self._index.config.legs if each.name == leg.name)
        return isinstance(built, Bm25Leg) and (built.k1, built.b) == (leg.k1, leg.b)

    def _searched(self, leg: Bm25Leg) -> dict[str, Ranking]:
        search = self._index.parts.search.lexical[leg.name].with_saturation(leg.k1, leg.b)
        if search is None:
            return {id: outcome.rankings.get(leg.name, ()) for id, outcome in self._outcomes.items()}
        return {id: search.search(self._judged.queries[id], DEEPEST)[0] for id in self._outcomes}

    def _number(self, stage: RerankerConfig) -> int:
        """Which of the index's stages it is: of the same kind and model."""
        return next(n for n, each in enumerate(self._stages) if _same(each.settings, stage))

    def _scored(self, number: int, query: str, ids: Sequence[str]) -> Mapping[str, float]:
        """The scores of a stage for those of the passages that it can read."""
        known = self._scores[number].setdefault(query, {})
        if missing := [id for id in ids if id not in known]:
            stage = self._stages[number]
            found = self._shortlist.read(missing, stage)
            read = [id for id in missing if id in found and (found[id].image or embed_text(found[id].views))]
            values = stage.reranker.score(self._judged.queries[query], [found[id] for id in read]).values
            known |= dict.fromkeys(missing, float("nan")) | dict(zip(read, values.tolist(), strict=True))
        return {id: known[id] for id in ids if known[id] == known[id]}

    @cached_property
    def _costs(self) -> _Costs:
        seconds = [outcome.seconds for outcome in self._outcomes.values()]
        names = dict.fromkeys(name for row in seconds for name in row)
        of = {name: 1000 * median(row.get(name, 0.0) for row in seconds) for name in names}
        legs = {name: of.pop(name) for name in self._legs if name in of}
        always = sum(ms for name, ms in of.items() if not name.startswith("rerank"))
        return _Costs(always, legs)

    def _pair_cost(self, number: int) -> float:
        """Milliseconds a passage, in the median of some queries."""
        if number not in self._pair_ms:
            stage, times = self._stages[number], list[float]()
            for id in self.queries[:_TIMED]:
                ids = [each for each, _ in self._fused(self._index.config, id)[: stage.settings.depth]]
                found = list(self._shortlist.read(ids, stage).values())
                start = perf_counter()
                stage.reranker.score(self._judged.queries[id], found)
                times.append(1000 * (perf_counter() - start) / max(len(found), 1))
            self._pair_ms[number] = median(times) if times else 0.0
        return self._pair_ms[number]


def _recorded(index: RagIndex, query: str) -> Outcome:
    """A search as it is, with deeper lists, and with those of legs that it leaves out."""
    outcome = index.run(query, _K)
    deep = index.run(query, _K, depth=DEEPEST, legs=[leg.name for leg in index.config.legs])
    return replace(outcome, rankings=deep.rankings, confidences=deep.confidences)


def _same(one: RerankerConfig, other: RerankerConfig) -> bool:
    shown = {"depth", "blend", "min_score", "calibration", "isotonic"}
    return one.model_dump(exclude=shown) == other.model_dump(exclude=shown)
