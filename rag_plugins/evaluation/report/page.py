"""The page of an evaluation, in one file: see `write_report`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from rag_plugins.errors import BadInput, RagPluginsError
from rag_plugins.evaluation.comparing import Change, Comparison
from rag_plugins.evaluation.evaluating import Evaluation
from rag_plugins.evaluation.funnels import FunnelUse, measured_funnels
from rag_plugins.evaluation.records import Record, Text
from rag_plugins.evaluation.report import charts
from rag_plugins.evidence.html import render, write
from rag_plugins.evidence.views import AnswerView, look
from rag_plugins.funnel.trials import cost
from rag_plugins.index import RagIndex
from rag_plugins.types import Hit

__all__ = ["write_report"]

_WORST = 10
_HITS = 5
_BEST = 10
_CHANGES = 10


@dataclass(frozen=True, slots=True)
class _Standing:
    """Something relevant to a query, and the rank that each stage gives it, None below those measured."""

    text: Text
    ranks: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class _Query:
    """A query of the worst: what is shown of it, its value, and where what is relevant stands."""

    view: AnswerView
    value: float
    standings: tuple[_Standing, ...]


@dataclass(frozen=True, slots=True)
class _Pair:
    """What two runs found for a query at one rank; and whether it is relevant."""

    before: Text | None
    before_relevant: bool
    after: Text | None
    after_relevant: bool


def write_report(
    path: str | Path,
    record: Record,
    evaluation: Evaluation,
    index: RagIndex,
    *,
    baseline: Record | None = None,
    compared: Comparison | None = None,
) -> Path:
    """Write a page of an evaluation whose collection is still open; the absolute path.

    Nothing in it asks another machine for anything. `compared` is with `baseline`. Raises `BadInput` where it
    cannot be written, and `MissingExtra`.
    """
    (primary, *_) = evaluation.measures
    page = render(
        __package__ or __name__,
        "report.html.j2",
        f"Evaluation of {record.name}",
        record=record,
        evaluation=evaluation,
        primary=primary,
        charts=dict(_charts(evaluation, index, primary)),
        worst=[_query(id, evaluation, index, record) for id in _worst(evaluation, primary)],
        stages=[stage.label for stage in evaluation.stages.all],
        compared=compared,
        changes=list(_changes(compared, baseline, record)),
        config=json.dumps(record.about["config"], indent=2, ensure_ascii=False),
    )
    try:
        return write(page, path)
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {error}") from error


def _charts(evaluation: Evaluation, index: RagIndex, primary: str) -> Iterator[tuple[str, Markup]]:
    yield f"{primary} at each stage", Markup(charts.stages(evaluation, primary))
    if len(shares := _contributions(evaluation)) > 2:
        yield "Which leg finds what is relevant, among its ten best", Markup(charts.contributions(shares))
    yield "Milliseconds of a query", Markup(charts.times(evaluation.ms_per_query, evaluation.ms_p95))
    for leg, use in evaluation.funnels.items():
        if use:
            drawn = _funnel(evaluation, index, leg, use)
            yield f"What a funnel costs and finds: {leg}", Markup(drawn)
    if evaluation.containment:
        yield "Answers that the LLM can read", Markup(charts.answers(evaluation.containment))


def _contributions(evaluation: Evaluation) -> dict[str, float]:
    """By who finds it: one leg alone, several, none."""
    legs = [stage for stage in evaluation.stages.all if stage.kind == "leg"]
    counts = {**{f"{leg.name} alone": 0 for leg in legs}, "several legs": 0, "no leg": 0}
    total = 0
    for query, grades in evaluation.judged.qrels.items():
        best = {leg.name: set(_ranked(leg.run.get(query, {}))[:_BEST]) for leg in legs}
        for id in (id for id, grade in grades.items() if grade > 0):
            found = [name for name, ids in best.items() if id in ids]
            total += 1
            counts["no leg" if not found else "several legs" if found[1:] else f"{found[0]} alone"] += 1
    return {name: count / total for name, count in counts.items()} if total else {}


def _funnel(evaluation: Evaluation, index: RagIndex, leg: str, use: FunnelUse) -> str:
    """Funnels of this leg's vectors, measured on the queries themselves."""
    asked = [evaluation.judged.queries[id] for id in evaluation.judged.qrels]
    tuning = measured_funnels(index, leg, use.prefixes.rotation, asked)
    return charts.funnel(tuning, (cost(use.prefixes.funnel, tuning.rows, tuning.dim), use.recall))


def _worst(evaluation: Evaluation, primary: str) -> list[str]:
    each = evaluation.stages.final.each[primary]
    return sorted((id for id in each if each[id] < 1.0), key=lambda id: (each[id], id))[:_WORST]


def _query(id: str, evaluation: Evaluation, index: RagIndex, record: Record) -> _Query:
    judged = evaluation.judged
    (primary, *_) = evaluation.measures
    hits = index.search(judged.queries[id], _HITS)
    value = evaluation.stages.final.each[primary][id]
    relevant = [unit for unit, grade in judged.qrels[id].items() if grade > 0]
    return _Query(
        view=look(judged.queries[id], hits, _page(index, hits)),
        value=value,
        standings=tuple(
            _Standing(record.texts.get(unit, Text(unit, "")), tuple(_ranks(unit, id, evaluation)))
            for unit in relevant[:_HITS]
        ),
    )


def _page(index: RagIndex, hits: Sequence[Hit]) -> bytes | None:
    """The page image of the first hit, where it has one that can be read."""
    asset = hits[0].passage.cite().page_image if hits else None
    try:
        return index.assets.get(asset) if asset else None
    except RagPluginsError:
        return None


def _ranks(unit: str, query: str, evaluation: Evaluation) -> Iterator[int | None]:
    for stage in evaluation.stages.all:
        ranked = _ranked(stage.run.get(query, {}))
        yield ranked.index(unit) + 1 if unit in ranked else None


def _ranked(scores: Mapping[str, float]) -> list[str]:
    return sorted(scores, key=lambda id: (-scores[id], id))


def _changes(
    compared: Comparison | None, before: Record | None, after: Record
) -> Iterator[tuple[str, Change, list[_Pair]]]:
    if compared is None or before is None:
        return
    for kind, changes in (("worse", compared.worse), ("better", compared.better)):
        for change in changes[:_CHANGES]:
            grades = after.qrels[change.query]
            relevant = {id for id, grade in grades.items() if grade > 0}
            deepest = max(len(change.found_before), len(change.found_after))
            rows = [_pair(change, rank, before, after, relevant) for rank in range(min(deepest, _HITS))]
            yield kind, change, rows


def _pair(change: Change, rank: int, before: Record, after: Record, relevant: set[str]) -> _Pair:
    old = change.found_before[rank] if rank < len(change.found_before) else None
    new = change.found_after[rank] if rank < len(change.found_after) else None
    return _Pair(
        before=None if old is None else before.texts.get(old, Text(old, "")),
        before_relevant=old in relevant,
        after=None if new is None else after.texts.get(new, Text(new, "")),
        after_relevant=new in relevant,
    )
