"""How good is each stage: every leg alone, fused, reranked, with funnels and without, on known answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from tempfile import TemporaryDirectory
from typing import TypeAlias

from tqdm import tqdm

from rag_plugins.config import Config
from rag_plugins.errors import BadInput, require
from rag_plugins.evaluation.beir import TestSet, read_folder
from rag_plugins.evaluation.funnels import FunnelUse, funnel_use
from rag_plugins.index import RagIndex
from rag_plugins.ingest.chunking import chunk
from rag_plugins.ingest.documents import SourceFile
from rag_plugins.ingest.pages import Page
from rag_plugins.search.outcome import Outcome
from rag_plugins.types import JsonValue, Passage

__all__ = [
    "MEASURES",
    "Evaluation",
    "Measures",
    "Run",
    "Stages",
    "by_document",
    "evaluate_folder",
    "fill",
    "measure",
    "measure_each",
]

Measures: TypeAlias = Mapping[str, tuple[str, int]]

MEASURES: Measures = {
    "nDCG@10": ("nDCG", 10),
    "MRR@10": ("RR", 10),
    "Recall@10": ("R", 10),
    "Recall@100": ("R", 100),
}
"""Our names; ir-measures' names and cut-offs."""

_DEPTH = 100
"""Hits a leg, as a search for 10 has it; also what Recall@100 needs."""

Run: TypeAlias = dict[str, dict[str, float]]
"""Score by query id and document id."""


@dataclass(frozen=True, slots=True)
class Stages:
    """Measures of each leg alone, of all of them fused, and after each rerank stage in turn."""

    legs: dict[str, dict[str, float]]
    fused: dict[str, float]
    reranks: dict[str, dict[str, float]]

    @property
    def reranked(self) -> dict[str, float] | None:
        """Measures after the last rerank stage, None where there is none."""
        return next(reversed(self.reranks.values()), None)

    def to_json(self) -> dict[str, JsonValue]:
        """Plain values, rounded to four digits."""
        return {
            "legs": {name: _rounded(values, 4) for name, values in self.legs.items()},
            "fused": _rounded(self.fused, 4),
            "reranked": None if self.reranked is None else _rounded(self.reranked, 4),
            "rerank_stages": {name: _rounded(values, 4) for name, values in self.reranks.items()},
        }


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Measures by stage; `ms_per_query` has the median milliseconds of each stage.

    `funnels` says how each dense leg was searched, None for exactly. `funnel_off` has the stages that funnels
    touch, searched without them; None where no leg has one.
    """

    stages: Stages
    funnels: dict[str, FunnelUse | None]
    funnel_off: Stages | None
    queries: int
    passages: int
    ms_per_query: dict[str, float]

    def to_json(self) -> dict[str, JsonValue]:
        """Plain values; measures rounded to four digits, milliseconds to two."""
        return {
            **self.stages.to_json(),
            "funnels": {leg: use and use.to_json() for leg, use in self.funnels.items()},
            "funnel_off": self.funnel_off and self.funnel_off.to_json(),
            "queries": self.queries,
            "passages": self.passages,
            "ms_per_query": _rounded(self.ms_per_query, 2),
        }


def evaluate_folder(
    folder: str | Path,
    config: Config,
    *,
    queries: int | None = None,
    chunked: bool = False,
    progress: bool = False,
) -> Evaluation:
    """Index a BEIR-format folder afresh and search it with its queries.

    A line of the corpus is one passage; `chunked` cuts it into passages and gives the line its best
    passage's score. `queries` limits how many, drawn with a fixed seed. Raises `BadDocument` for a folder
    that cannot be read and `BadInput` where no query has a relevant document.
    """
    tests = read_folder(folder).sample(queries)
    if not tests.queries:
        raise BadInput(f"{folder}: no query has a relevant document in qrels.tsv")
    with TemporaryDirectory() as directory, RagIndex.open(Path(directory) / "set.db", config=config) as index:
        fill(index, tests.corpus, chunked, progress)
        return _evaluation(tests, index, progress)


def measure(
    run: Run, qrels: Mapping[str, Mapping[str, int]], measures: Measures = MEASURES
) -> dict[str, float]:
    """Mean over the queries of `qrels` of every measure; a query without hits counts as zero."""
    return {name: fmean(values.values()) for name, values in measure_each(run, qrels, measures).items()}


def measure_each(
    run: Run, qrels: Mapping[str, Mapping[str, int]], measures: Measures = MEASURES
) -> dict[str, dict[str, float]]:
    """Every measure of every query of `qrels`; a query without hits counts as zero."""
    ir_measures = require("ir_measures", "evaluation")
    # Not parse_measure: it reads names with parts of `ast` that Python 3.14 no longer has.
    theirs = {getattr(ir_measures, measure) @ cutoff: name for name, (measure, cutoff) in measures.items()}
    values = {name: dict.fromkeys(qrels, 0.0) for name in measures}
    for each in ir_measures.iter_calc(theirs, qrels, run):
        values[theirs[each.measure]][each.query_id] = float(each.value)
    return values


def fill(index: RagIndex, corpus: Mapping[str, str], chunked: bool, progress: bool) -> None:
    """Add texts by document, each one passage or cut into passages."""
    passages = [passage for id, text in corpus.items() for passage in _passages(index, id, text, chunked)]
    step = 256
    with tqdm(total=len(passages), unit="passage", desc="Indexing", disable=not progress) as bar:
        for start in range(0, len(passages), step):
            bar.update(len(index.add(passages[start : start + step])))


def _passages(index: RagIndex, id: str, text: str, chunked: bool) -> list[Passage]:
    if not chunked:
        return [index.passage(text, doc_id=id, caller_id=id)]
    file = SourceFile(path=Path(id), doc_id=id, source=id, sha256="")
    page = Page(number=1, text=text, words=(), image=None, origin="text")
    return chunk(page, file, index.config.chunking, tenant=index.tenant)


def _evaluation(tests: TestSet, index: RagIndex, progress: bool) -> Evaluation:
    prefixes = {leg.name: index.store.prefixes(leg.name) for leg in index.config.legs if leg.kind == "dense"}
    on: dict[str, Outcome] = {}
    off: dict[str, Outcome] = {}
    for id, text in tqdm(tests.queries.items(), desc="Searching", disable=not progress):
        on[id] = _measured(index, text)
        if any(prefixes.values()):
            off[id] = _measured(index, text, exact=True)
    searched = {leg for outcome in on.values() for leg in outcome.rankings}  # None of weight zero is.
    prefixes = {leg: found for leg, found in prefixes.items() if leg in searched}
    document = {p.id: p.doc_id for batch in index.store.scan() for p in batch}
    return Evaluation(
        stages=_stages(tests, on, document),
        funnels={
            leg: found and funnel_use(leg, found, list(on.values()), list(off.values()))
            for leg, found in prefixes.items()
        },
        funnel_off=_stages(tests, off, document, [leg for leg in prefixes if prefixes[leg]]) if off else None,
        queries=len(on),
        passages=len(document),
        ms_per_query=_medians([outcome.seconds for outcome in on.values()]),
    )


def _measured(index: RagIndex, query: str, *, exact: bool = False) -> Outcome:
    """A search's outcome, with what legs that were left out of it would have found."""
    outcome = index.run(query, _DEPTH, depth=_DEPTH, exact=exact)
    if outcome.left_out:
        outcome.rankings |= index.run(
            query, _DEPTH, legs=outcome.left_out, depth=_DEPTH, exact=exact
        ).rankings
    return outcome


def _stages(
    tests: TestSet, outcomes: Mapping[str, Outcome], document: Mapping[str, str], only: Sequence[str] = ()
) -> Stages:
    """Measures of the legs named, or of all."""
    names = dict.fromkeys(only or (name for outcome in outcomes.values() for name in outcome.rankings))

    def scores(rankings: Mapping[str, Iterable[tuple[str, float]]]) -> dict[str, float]:
        run = {query: by_document(ranking, document) for query, ranking in rankings.items()}
        return measure(run, tests.qrels)

    stages = dict.fromkeys(reranking.stage for o in outcomes.values() for reranking in o.rerankings)
    return Stages(
        legs={name: scores({q: o.rankings.get(name, ()) for q, o in outcomes.items()}) for name in names},
        fused=scores({q: [(item.id, item.score) for item in o.fused] for q, o in outcomes.items()}),
        reranks={name: scores({q: o.reranked(name) for q, o in outcomes.items()}) for name in stages},
    )


def by_document(ranking: Iterable[tuple[str, float]], document: Mapping[str, str]) -> dict[str, float]:
    """A document's score is its best passage's."""
    scores: dict[str, float] = {}
    for id, score in ranking:
        scores[document[id]] = max(score, scores.get(document[id], score))
    return scores


def _medians(seconds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    stages = dict.fromkeys(stage for row in seconds for stage in row)
    medians = {stage: 1000 * median(row.get(stage, 0.0) for row in seconds) for stage in stages}
    return {**medians, "total": 1000 * median(sum(row.values()) for row in seconds)}


def _rounded(values: Mapping[str, float], digits: int) -> dict[str, JsonValue]:
    return {name: round(value, digits) for name, value in values.items()}
