"""What the commands print: tables and panels for people, plain values for programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from rag_plugins.config import PIPELINES, Config, CrossEncoderConfig
from rag_plugins.demo.view import origin, where
from rag_plugins.models.presets import DENSE_PRESETS, RERANKER_PRESETS, SPARSE_PRESETS
from rag_plugins.types import Hit, Hits, JsonValue, StageScore, TermMatch

if TYPE_CHECKING:
    from rag_plugins.evaluation import Evaluation, FunnelUse
    from rag_plugins.evaluation.probe import Probe
    from rag_plugins.funnel import Funnel
    from rag_plugins.funnel.tuning import Tuning
    from rag_plugins.ingest.indexer import IngestSummary

__all__ = [
    "hit_json",
    "show_evaluation",
    "show_hits",
    "show_presets",
    "show_probe",
    "show_summary",
    "show_tuning",
]


def show_summary(summary: IngestSummary, total: int, weights: Mapping[str, str]) -> None:
    """How ingestion went, then what could not be read; `total` passages are now in the collection.

    `weights` says for each leg where its model's weights came from.
    """
    console = Console()
    table = Table(box=None, show_header=False)
    rows = {
        "documents": f"{summary.documents} stored, {summary.replaced} of them replaced; "
        f"{summary.unchanged} unchanged",
        "pages": f"{summary.pages} ({summary.recognised} by OCR)",
        "passages": f"{summary.passages} stored, {total} in the collection",
        "time": f"{summary.seconds:.1f} s, {summary.pages_per_second:.1f} pages/s",
        "not read": str(len(summary.bad)),
        **{f"{leg} weights": f"from {source}" for leg, source in weights.items()},
    }
    for name, value in rows.items():
        table.add_row(name, value)
    console.print(table)
    for bad in summary.bad:
        console.print(Text(f"  {bad}", style="red"), soft_wrap=True)


def show_hits(hits: Hits) -> None:
    """Passages as the LLM would read them, where they are from, and what each stage made of them."""
    console = Console()
    for number, hit in enumerate(hits, 1):
        title = Text(f"{number}. {where(hit.passage)} · {origin(hit.passage)} · {hit.score:.3f}")
        console.print(title, style="bold", soft_wrap=True)
        console.print(Panel(Text(hit.passage.llm_text)))
        console.print(Text(" · ".join(_stage(score) for score in hit.trace), style="dim"))
        for leg, matches in hit.terms.items():
            console.print(_matches(leg, matches))
    for notice in hits.notices:
        console.print(Text(notice, style="yellow"), soft_wrap=True)
    if not hits:
        console.print("Nothing was found.")


def _stage(score: StageScore) -> str:
    part = "" if score.part is None else f" (+{score.part:.3f})"
    return f"{score.stage} #{score.rank} {score.score:.3f}{part}"


def _matches(leg: str, matches: Sequence[TermMatch]) -> Table:
    """The terms of one leg: what the query gave each, what the passage, and what came of it."""
    table = _table(f"{leg}: {len(matches)} terms", "term", "query", "passage", "score", "by")
    for match in matches:
        numbers = (match.query_weight, match.document_weight, match.score)
        origin = match.rule or ("expansion" if match.expanded else "")
        table.add_row(Text(match.term), *(f"{number:.3f}" for number in numbers), Text(origin))
    return table


def hit_json(hit: Hit) -> JsonValue:
    """A hit as plain values."""
    from rag_plugins.faces import details, public_metadata

    return {"text": hit.passage.llm_text, "metadata": public_metadata(hit.passage), **details(hit)}


def show_evaluation(result: Evaluation) -> None:
    """A line a stage, a column a measure, funnels on and off; then the funnels and the times."""
    console = Console()
    table = Table("stage", title=f"{result.queries} queries, {result.passages} passages")
    for measure in result.stages.fused:
        table.add_column(measure, justify="right")
    for name, values in _stage_rows(result):
        table.add_row(name, *(f"{value:.3f}" for value in values.values()))
    console.print(table)
    for leg, use in result.funnels.items():
        console.print(f"{leg}: {_funnel(use)}", highlight=False)
    times = ", ".join(f"{stage} {ms:.1f}" for stage, ms in result.ms_per_query.items())
    console.print(f"p50 ms per query: {times}", highlight=False)


def _stage_rows(result: Evaluation) -> Iterator[tuple[str, Mapping[str, float]]]:
    """Each stage, and below it the same without funnels where that may differ."""
    on, off = result.stages, result.funnel_off
    stages = [
        *((name, values, off and off.legs.get(name)) for name, values in on.legs.items()),
        ("fused", on.fused, off and off.fused),
        ("reranked", on.reranked, off and off.reranked),
    ]
    for name, values, without in stages:
        if values is not None:
            yield name, values
        if without is not None:
            yield f"{name}, funnel off", without


def _funnel(use: FunnelUse | None) -> str:
    if use is None:
        return "no funnel, searched exactly (by default from 500 passages on)"
    rotated = ", prefixes rotated" if use.prefixes.rotation else ""
    return (
        f"{use.prefixes.funnel}{rotated}; {use.recall:.3f} of the exact search's best 10 found; "
        f"p50 {use.ms:.2f} ms, {use.ms_off:.2f} ms with the funnel off"
    )


def show_tuning(tuning: Tuning) -> None:
    """For each schedule of widths its cheapest funnel that will do; what each prefix alone would give."""
    console = Console()
    title = f"{tuning.rows} vectors of {tuning.dim} numbers, {tuning.queries} queries"
    table = _table(title, "funnel (kept)", f"recall@{tuning.k}", "µs, estimated", "", wrapped=0)
    for trial in tuning.table:
        row = (_stages(trial.funnel), f"{trial.recall:.3f}", f"{trial.cost:.0f}")
        mark = "chosen" if trial.funnel == tuning.funnel else ""
        table.add_row(*row, mark, style="bold" if mark else None)
    table.add_row("exact search", "1.000", f"{tuning.exact_cost:.0f}", "" if tuning.funnel else "chosen")
    console.print(table)
    stored = _table("A prefix stored alone (store_width)", "width", f"recall@{tuning.k}", "MB")
    for alone in tuning.alone:
        stored.add_row(str(alone.width), f"{alone.recall:.3f}", f"{alone.bytes_stored / 1e6:.1f}")
    console.print(stored)
    verdict = (
        f"funnel = {tuning.funnel.to_json()}" if tuning.funnel else "no funnel is cheaper: searched exactly"
    )
    console.print(f"recall {tuning.target:g} aimed at: {verdict}", highlight=False)


def _stages(funnel: Funnel) -> str:
    return str(funnel).removeprefix("funnel ").replace(" kept", "")


def show_probe(model: str, probe: Probe) -> None:
    """Recall of each prefix, as it is, of as many numbers drawn at random, and rotated; then the verdict."""
    console = Console()
    title = f"{model}: {probe.dim} numbers; {probe.texts} texts, {probe.queries} queries; recall@10"
    table = _table(title, "width", "prefix", "random", "rotated", "in top 200", "rotated, in top 200", "")
    for prefix in probe.prefixes:
        shares = (prefix.raw, prefix.random, prefix.rotated, prefix.raw_inside, prefix.rotated_inside)
        marks = [
            *(["declared"] if prefix.width in probe.declared else []),
            *(["trained"] if prefix.trained else []),
        ]
        table.add_row(str(prefix.width), *(f"{share:.3f}" for share in shares), ", ".join(marks))
    console.print(table)
    console.print(f"Matryoshka: {'yes' if probe.matryoshka else 'no'}. {probe.advice}", highlight=False)


def show_presets() -> None:
    """Pipelines, models and rerankers that a configuration can name."""
    console = Console()
    for table in (_pipelines(), _dense_models(), _sparse_models(), _rerankers()):
        console.print(table)


def _table(title: str, *columns: str, wrapped: int | None = None) -> Table:
    """The first column keeps its lines whole, or all but the one that is `wrapped` do."""
    table = Table(title=Text(title), title_justify="left", box=SIMPLE_HEAD)
    for number, column in enumerate(columns):
        table.add_column(column, no_wrap=number == 0 if wrapped is None else number != wrapped)
    return table


def _pipelines() -> Table:
    table = _table("Pipelines: --preset NAME", "name", "legs", "fusion", "reranker")
    for name, config in PIPELINES.items():
        table.add_row(name, _legs(config), config.fusion.method, _rerank(config))
    return table


def _legs(config: Config) -> str:
    return ", ".join(leg.kind if leg.kind == "bm25" else leg.model for leg in config.legs)


def _rerank(config: Config) -> str:
    names = (stage.model if isinstance(stage, CrossEncoderConfig) else stage.kind for stage in config.rerank)
    return ", then ".join(names) or "none"


def _dense_models() -> Table:
    table = _table(
        "Dense models: [[legs]] model = NAME", "name", "licence", "dims", "trained prefixes", "tokens"
    )
    for name, model in DENSE_PRESETS.items():
        prefixes = ", ".join(map(str, model.matryoshka)) or "–"
        table.add_row(name, model.licence, str(model.dim), prefixes, str(model.max_length))
    return table


def _sparse_models() -> Table:
    table = _table("Sparse models: [[legs]] model = NAME", "name", "licence", "kind", "terms", "tokens")
    for name, model in SPARSE_PRESETS.items():
        licence = f"{model.licence} (gated)" if model.gated else model.licence
        kind = model.kind.replace("-", " ")  # Breaks where there is no room.
        table.add_row(name, licence, kind, str(model.dim), str(model.max_length))
    return table


def _rerankers() -> Table:
    table = _table("Rerankers: [[rerank]] model = NAME", "name", "licence", "tokens", "scores")
    for name, model in RERANKER_PRESETS.items():
        table.add_row(name, model.licence, str(model.max_length), model.scale)
    return table
