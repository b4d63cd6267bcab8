"""Commands that fit a collection: tune its funnel or its reranking, probe a model."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rag_plugins.cli.options import (
    AsJson,
    Collection,
    ConfigFile,
    Preset,
    Tenant,
    existing,
    print_json,
    read_config,
)

if TYPE_CHECKING:
    from rag_plugins.config import Config
    from rag_plugins.evaluation import RerankTuning

__all__ = ["probe", "tune"]

_TEXTS = 2000
"""Texts that a model is probed on where none are given."""

_Queries = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="One a line, or JSON lines with a text; default: its sentences."),
]
_Into = Annotated[
    Path | None,
    typer.Option(metavar="TOML", help="Write what was found to this configuration; default: --config's."),
]
_Plot = Annotated[Path | None, typer.Option(metavar="FILE", help="What was measured: .svg, .png or .pdf.")]
_Qrels = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Judged queries for the next two: queries.jsonl and qrels.tsv."),
]
_Stage = Annotated[
    str | None, typer.Option(metavar="STAGE", help="Which one: its number, model or kind; default: the last.")
]


def tune(
    db: Annotated[str, typer.Argument(help="A file such as handbook.db, or http://host:port.")],
    recall: Annotated[
        float, typer.Option(min=0.5, max=1.0, help="The share of the exact search's best to be found.")
    ] = 0.99,
    k: Annotated[int, typer.Option("-k", min=1, help="How many best.")] = 10,
    queries: _Queries = None,
    leg: Annotated[str | None, typer.Option(help="The dense leg, where there are several.")] = None,
    qrels: _Qrels = None,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Make probabilities of a rerank stage's scores.")
    ] = False,
    blend: Annotated[bool, typer.Option("--blend", help="Choose how much the rerank stage counts.")] = False,
    stage: _Stage = None,
    into: _Into = None,
    plot: _Plot = None,
    preset: Preset = None,
    config: ConfigFile = None,
    collection: Collection = "passages",
    tenant: Tenant = "",
    as_json: AsJson = False,
) -> None:
    """Find the cheapest funnel that meets a recall, on the collection itself, and search by it from now on.

    It is measured against the exact search. The collection keeps it; a configuration that names it has it
    for others too.

    With --calibrate or --blend a rerank stage is tuned instead, by judged queries, and a configuration keeps
    what was found.
    """
    existing(db)
    _check(calibrate or blend, {"--qrels": qrels, "--stage": stage}, {"--queries": queries, "--leg": leg})
    settings = read_config(preset, config)
    goal = _Goal(db, settings, collection, tenant, into or config, plot, as_json)
    if qrels:
        _tune_reranking(goal, qrels, stage, calibrate, blend)
    else:
        _tune_funnel(goal, leg, recall, k, queries)


@dataclass(frozen=True, slots=True)
class _Goal:
    """Which collection is tuned, and where what is found goes."""

    db: str
    settings: Config
    collection: str
    tenant: str
    target: Path | None
    plot: Path | None
    as_json: bool


def _check(reranking: bool, its_own: Mapping[str, object], funnels: Mapping[str, object]) -> None:
    """Refuse options that would be ignored, and judged queries that are not there."""
    if reranking and its_own["--qrels"] is None:
        raise typer.BadParameter(
            "--calibrate and --blend read judged queries: --qrels FOLDER, with queries.jsonl and qrels.tsv"
        )
    for option, value in (funnels if reranking else its_own).items():
        if value is not None:
            raise typer.BadParameter(
                f"{option} is for funnels: not with --calibrate or --blend"
                if reranking
                else f"{option} is for --calibrate and --blend: give one of them, or both"
            )


def _tune_funnel(goal: _Goal, leg: str | None, recall: float, k: int, queries: Path | None) -> None:
    from rag_plugins.evaluation.plots import plot_tuning
    from rag_plugins.evaluation.settings import write_funnel
    from rag_plugins.evaluation.texts import read_queries
    from rag_plugins.index import RagIndex
    from rag_plugins.show import show_tuning

    asked = read_queries(queries) if queries else None
    settings = goal.settings
    with RagIndex.open(goal.db, config=settings, collection=goal.collection, tenant=goal.tenant) as index:
        tuning = index.tune(leg, recall=recall, k=k, queries=asked)
    show_tuning(tuning)
    if goal.plot:
        plot_tuning(tuning, goal.plot)
        typer.echo(f"The plot: {goal.plot}")
    if goal.target:
        name = leg or next(each.name for each in settings.legs if each.kind == "dense")
        write_funnel(goal.target, name, tuning.funnel, settings)
        typer.echo(f"{goal.target}: the leg {name} has the funnel")
    if goal.as_json:
        print_json(tuning.to_json())


def _tune_reranking(goal: _Goal, qrels: Path, stage: str | None, calibrate: bool, blend: bool) -> None:
    from rag_plugins.evaluation import tune_reranking
    from rag_plugins.evaluation.plots import plot_reranking
    from rag_plugins.show.reranking import show_reranking

    tuning = tune_reranking(
        goal.db,
        qrels,
        stage=stage,
        calibrate=calibrate,
        blend=blend,
        config=goal.settings,
        collection=goal.collection,
        tenant=goal.tenant,
        progress=sys.stderr.isatty(),
    )
    show_reranking(tuning)
    if goal.plot:
        plot_reranking(tuning, goal.plot)
        typer.echo(f"The plot: {goal.plot}")
    _write(goal, tuning)
    if goal.as_json:
        print_json(tuning.to_json())


def _write(goal: _Goal, tuning: RerankTuning) -> None:
    from rag_plugins.evaluation.settings import write_stage

    if goal.target is None:
        typer.echo("Nothing was written: --into TOML keeps it in a configuration")
        return
    stage = write_stage(goal.target, tuning.stage, tuning.applied, goal.settings)
    found = {"calibration": tuning.calibration, "blend": tuning.blend}
    kept = " and ".join(name for name, value in found.items() if value)
    bound = "" if stage.min_score is None else f"; its min_score is {stage.min_score:g}"
    typer.echo(f"{goal.target}: rerank stage {tuning.stage} has the {kept}{bound}")


def probe(
    model: Annotated[str, typer.Argument(help="A preset, a folder or a hub id.")],
    texts: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="Texts like yours: a file of paragraphs, or a folder in BEIR's format. Default: "
            "Python's own documentation.",
        ),
    ] = None,
    allow_remote_code: Annotated[
        bool, typer.Option(help="Run the code that the model brings along, at the commit its preset names.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Measure what each prefix of a model's vectors keeps, and say whether it was trained for prefixes."""
    from rag_plugins.config import DenseLeg
    from rag_plugins.evaluation.probe import probe as measured
    from rag_plugins.evaluation.texts import manual_texts, read_texts
    from rag_plugins.show import show_probe
    from rag_plugins.wiring import dense_model, make_legs

    (leg,) = make_legs([DenseLeg(model=model, allow_remote_code=allow_remote_code)])
    result = measured(dense_model(leg), read_texts(texts) if texts else manual_texts(_TEXTS))
    show_probe(model, result)
    if as_json:
        print_json(result.to_json())
