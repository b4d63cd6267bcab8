"""One set under every fusion of its legs: each leg, RRF, min-max, adaptive, and the oracle."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

from rich.progress import track

from rag_plugins import Config, RagIndex
from rag_plugins.evaluation import measure
from rag_plugins.evaluation.beir import TestSet
from rag_plugins.evaluation.filling import fill
from rag_plugins.evaluation.judged import by_unit
from rag_plugins.evaluation.measures import Measures, Run
from rag_plugins.fusion import Learned, Ranking, fuse
from rag_plugins.search.outcome import Outcome
from rag_plugins.search.retriever import HybridRetriever
from rag_plugins.search.wanted import Wanted
from rag_plugins.wiring import assemble, wire

__all__ = ["Measured", "measure_set", "simplex"]

_DEPTH, _K = 100, 10
_STEPS = 10
_NDCG: Measures = {"nDCG@10": ("nDCG", 10)}

_GAIN = 0.01
"""Where the oracle gains less than this over RRF, there is nothing to have a share of."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One set: nDCG@10 by system, what the oracle chose, what was learned and what that took.

    `extra_ms` is how much longer a query takes than under min-max, encoding and legs left out.
    """

    passages: int
    legs: tuple[str, ...]
    scores: Mapping[str, float]
    oracle: Mapping[str, float]
    learned: Learned
    wall: float
    cpu: float
    extra_ms: float

    @property
    def best_leg(self) -> float:
        """Of the best leg alone."""
        return max(self.scores[leg] for leg in self.legs)

    @property
    def share(self) -> float | None:
        """Of the oracle's gain over RRF, 0 to 1; None where it gains too little."""
        gain = self.scores["oracle"] - self.scores["rrf"]
        if gain < _GAIN:
            return None
        return min(max((self.scores["adaptive"] - self.scores["rrf"]) / gain, 0.0), 1.0)


def measure_set(tests: TestSet, adaptive: Config, minmax: Config, name: str) -> Measured:
    """Index the set afresh, search it under both, and fuse what the legs found in the other ways."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "set.db"
        with RagIndex.open(path, config=adaptive) as index:
            fill(index, tests.corpus, chunked=False, progress=sys.stderr.isatty())
            start, busy = perf_counter(), process_time()
            learned = index.learn()
            wall, cpu = perf_counter() - start, process_time() - busy
            document = {passage.id: passage.doc_id for batch in index.store.scan() for passage in batch}
        with _both(path, adaptive, minmax) as retrievers:
            found, extra_ms = _search(retrievers, tests, name)
    judged = _Judged(tests, document)
    legs = tuple(leg.name for leg in adaptive.legs)
    # Those of min-max: adaptive fusion leaves out legs that the other systems need.
    rankings = {id: outcome.rankings for id, outcome in found["minmax"].items()}
    weights, best = _oracle(rankings, legs, judged)
    scores = {
        **{leg: judged.ndcg({id: of_query[leg] for id, of_query in rankings.items()}) for leg in legs},
        "rrf": judged.fused(rankings, dict.fromkeys(legs, 1.0), "rrf"),
        **_stages("minmax", found["minmax"], judged, bool(minmax.rerank)),
        **_stages("adaptive", found["adaptive"], judged, bool(adaptive.rerank)),
        "oracle": best,
    }
    return Measured(len(document), legs, scores, weights, learned, wall, cpu, extra_ms)


@contextmanager
def _both(path: Path, adaptive: Config, minmax: Config) -> Generator[dict[str, HybridRetriever]]:
    """Two retrievers over one open file, so that they can be asked in turn."""
    parts = assemble(path, adaptive, "passages", "", {})
    try:
        plain = wire(minmax, parts.legs, parts.store, "")
        yield {"adaptive": parts.retriever, "minmax": plain.retriever}
    finally:
        parts.close()


def _search(
    retrievers: Mapping[str, HybridRetriever], tests: TestSet, name: str
) -> tuple[dict[str, dict[str, Outcome]], float]:
    """Outcomes by retriever and query id, and by how many milliseconds the first is slower, in the median.

    Counted is all but encoding, legs and rerank stages: fusion, and the weights of the query, which no stage
    times. Each query is asked of both in turn, so that what else the machine does falls on both.
    """
    outcomes: dict[str, dict[str, Outcome]] = {system: {} for system in retrievers}
    extra: list[float] = []
    for n, (id, text) in enumerate(track(tests.queries.items(), name, disable=not sys.stderr.isatty())):
        rest: dict[str, float] = {}
        for system in list(retrievers)[:: -1 if n % 2 else 1]:
            start = perf_counter()
            outcome = retrievers[system].run([text], Wanted(_K, depth=_DEPTH))
            wall = perf_counter() - start
            rest[system] = wall - sum(outcome.seconds.values()) + outcome.seconds["fusion"]
            outcomes[system][id] = outcome
        first, second = (rest[system] for system in retrievers)
        extra.append(first - second)
    return outcomes, 1000 * median(extra)


@dataclass(frozen=True, slots=True)
class _Judged:
    """Rankings of passages by query id, measured as rankings of documents."""

    tests: TestSet
    document: Mapping[str, str]

    def ndcg(self, rankings: Mapping[str, Iterable[tuple[str, float]]]) -> float:
        run: Run = {id: by_unit(ranking, self.document) for id, ranking in rankings.items()}
        return measure(run, self.tests.qrels, _NDCG)["nDCG@10"]

    def fused(
        self, legs: Mapping[str, Mapping[str, Ranking]], weights: Mapping[str, float], method: str
    ) -> float:
        fused = {id: fuse(of_query, weights, method) for id, of_query in legs.items()}
        return self.ndcg({id: [(item.id, item.score) for item in items] for id, items in fused.items()})


def _stages(system: str, outcomes: Mapping[str, Outcome], judged: _Judged, rerank: bool) -> dict[str, float]:
    """Fused, and where that was asked for, after the last rerank stage."""
    fused = {id: [(item.id, item.score) for item in each.fused] for id, each in outcomes.items()}
    scores = {system: judged.ndcg(fused)}
    if rerank:
        scores[f"{system}_reranked"] = judged.ndcg({id: each.final for id, each in outcomes.items()})
    return scores


def _oracle(
    rankings: Mapping[str, Mapping[str, Ranking]], legs: Sequence[str], judged: _Judged
) -> tuple[dict[str, float], float]:
    """The weights that are best with the labels, and their nDCG@10; a leg alone has the weight 1."""
    tried = [
        ({leg: 1.0}, judged.ndcg({id: of_query[leg] for id, of_query in rankings.items()})) for leg in legs
    ]
    for weights in simplex(legs):
        tried.append((weights, judged.fused(rankings, weights, "minmax")))
    return max(tried, key=lambda item: item[1])


def simplex(legs: Sequence[str]) -> Iterator[dict[str, float]]:
    """All weights in steps of .1 with the sum 1."""
    for first in product(range(_STEPS + 1), repeat=len(legs) - 1):
        if sum(first) <= _STEPS:
            tenths = (*first, _STEPS - sum(first))
            yield {leg: count / _STEPS for leg, count in zip(legs, tenths, strict=True)}
