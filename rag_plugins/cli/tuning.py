"""The command that fits a pipeline to a collection: all of it, its funnel, its fusion, its reranking."""

from __future__ import annotations

import sys
from collections.abc import Collection as AnyOf
from collections.abc import Generator, Mapping
from contextlib import contextmanager
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
    is_set,
    print_json,
    read_config,
)

if TYPE_CHECKING:
    from rag_plugins.config import Config
    from rag_plugins.evaluation import Judged, RerankTuning
    from rag_plugins.evaluation.tuning.pipeline import Opener
    from rag_plugins.index import RagIndex

__all__ = ["tune"]

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
    typer.Option(
        metavar="FOLDER", help="Judged queries, queries.jsonl and qrels.tsv: tune the whole pipeline."
    ),
]
_Questions = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="The same of your own questions, as `evaluate` takes them."),
]
_Budget = Annotated[
    float | None, typer.Option("--budget", min=0.1, metavar="MS", help="What a query may take, at most.")
]
_Pairs = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help='What users chose: JSON lines of {"query": …, "doc_id": …}.'),
]
_Stage = Annotated[
    str | None, typer.Option(metavar="STAGE", help="Which one: its number, model or kind; default: the last.")
]


_RERANKING = ("--calibrate", "--blend")
_FOR = {
    "--queries": ("funnels", "--fusion"),
    "--leg": ("funnels",),
    "--qrels": ("pipelines", *_RERANKING, "--fusion"),
    "--questions": ("pipelines",),
    "--measure": ("pipelines",),
    "--budget": ("pipelines",),
    "--trials": ("pipelines",),
    "--bm25": ("pipelines",),
    "--stage": _RERANKING,
    "--pairs": ("--fusion",),
    "--into": ("pipelines", "funnels", *_RERANKING),
    "--plot": ("pipelines", "funnels", *_RERANKING),
}
"""What options are for, each with what reads it."""


def tune(
    db: Annotated[str, typer.Argument(help="A file such as handbook.db, or http://host:port.")],
    recall: Annotated[
        float, typer.Option(min=0.5, max=1.0, help="The share of the exact search's best to be found.")
    ] = 0.99,
    k: Annotated[int, typer.Option("-k", min=1, help="How many best.")] = 10,
    queries: _Queries = None,
    leg: Annotated[str | None, typer.Option(help="The dense leg, where there are several.")] = None,
    qrels: _Qrels = None,
    questions: _Questions = None,
    measure: Annotated[
        str | None,
        typer.Option(metavar="NAME@K", help="What the pipeline is tuned towards; default: nDCG@10."),
    ] = None,
    budget: _Budget = None,
    trials: Annotated[
        int | None, typer.Option(min=10, help="Configurations that are tried; default: 200.")
    ] = None,
    bm25: Annotated[
        bool,
        typer.Option("--bm25", help="Tune k1 and b too; a collection has to be made anew for others."),
    ] = False,
    fusion: Annotated[
        bool, typer.Option("--fusion", help="Learn what each leg is worth: by itself, or by queries.")
    ] = False,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Make probabilities of a rerank stage's scores.")
    ] = False,
    blend: Annotated[bool, typer.Option("--blend", help="Choose how much the rerank stage counts.")] = False,
    stage: _Stage = None,
    pairs: _Pairs = None,
    into: _Into = None,
    plot: _Plot = None,
    preset: Preset = None,
    config: ConfigFile = None,
    collection: Collection = "passages",
    tenant: Tenant = "",
    as_json: AsJson = False,
) -> None:
    """Fit a pipeline: to judged queries as a whole, or a part of it, without any or with them.

    With --qrels or --questions, or a folder in BEIR's format in place of a collection: fusion, weights and
    depths of legs, rerank depths and blends, k1 and b, towards a measure and within --budget. Part of the
    queries is held back; what does not gain on them is not used.

    Without: find the cheapest funnel that meets a recall, on the collection itself, and search by it from now
    on. It is measured against the exact search. The collection keeps it; a configuration that names it has it
    for others too.

    With --calibrate or --blend a rerank stage is tuned instead, by judged queries, and a configuration keeps
    what was found. With --fusion the weights of the legs are, by queries made of the passages (like those of
    --queries), by judged ones, or by what users chose. The collection keeps them.
    """
    existing(db)
    tasks = {"--fusion": fusion, "--calibrate": calibrate, "--blend": blend}
    wanted = [task for task, given in tasks.items() if given]
    if not wanted and (qrels or questions or is_set(db)):
        wanted = ["pipelines"]
    given = {"--queries": queries, "--leg": leg, "--qrels": qrels, "--stage": stage, "--pairs": pairs}
    given |= {"--questions": questions, "--measure": measure, "--budget": budget, "--trials": trials}
    given |= {"--bm25": bm25 or None, "--into": into, "--plot": plot}
    _check(wanted, given)
    settings = read_config(preset, config)
    goal = _Goal(db, settings, collection, tenant, into or config, plot, as_json)
    if wanted == ["pipelines"]:
        asked = _Pipeline(questions or qrels, measure or "nDCG@10", budget, trials or 200, bm25)
        _tune_pipeline(goal, asked)
    elif fusion:
        _tune_fusion(goal, queries, qrels, pairs)
    elif qrels:
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


def _check(tasks: AnyOf[str], given: Mapping[str, object]) -> None:
    """Refuse options that would be ignored, and judged queries that are not there."""
    if "--fusion" in tasks and len(tasks) > 1:
        raise typer.BadParameter("--fusion goes by itself: not with --calibrate or --blend")
    options = [option for option, value in given.items() if value is not None]
    for option in options:
        if not set(_FOR[option]).intersection(tasks or ("funnels",)):
            *others, last = _FOR[option]
            listed = f"{', '.join(others)} and {last}" if others else last
            kept = "; what --fusion learns the collection keeps" if option == "--into" else ""
            raise typer.BadParameter(f"{option} is for {listed}{kept}")
    sources = {"--queries", "--qrels", "--pairs"}.intersection(options)
    if "--fusion" in tasks and len(sources) > 1:
        raise typer.BadParameter(f"{' and '.join(sorted(sources))}: --fusion learns from one of them")
    if set(tasks) & set(_RERANKING) and "--qrels" not in options:
        raise typer.BadParameter(
            "--calibrate and --blend read judged queries: --qrels FOLDER, with queries.jsonl and qrels.tsv"
        )


@dataclass(frozen=True, slots=True)
class _Pipeline:
    """By what a whole pipeline is tuned."""

    questions: Path | None
    measure: str
    budget: float | None
    trials: int
    bm25: bool


def _tune_pipeline(goal: _Goal, asked: _Pipeline) -> None:
    from rag_plugins.evaluation.plots import plot_pipeline
    from rag_plugins.evaluation.tuning.pipeline import tune_pipeline
    from rag_plugins.evaluation.tuning.settings import write_pipeline
    from rag_plugins.show.pipeline import show_pipeline

    tuning = tune_pipeline(
        _opener(goal, asked),
        goal.settings,
        measure=asked.measure,
        budget_ms=asked.budget,
        trials=asked.trials,
        bm25=asked.bm25 or is_set(goal.db),
        progress=sys.stderr.isatty(),
    )
    show_pipeline(tuning)
    if goal.plot:
        plot_pipeline(tuning, goal.plot)
        typer.echo(f"The plot: {goal.plot}")
    if goal.target and tuning.better:
        write_pipeline(goal.target, tuning.chosen, goal.settings)
        typer.echo(f"{goal.target}: the pipeline has these settings")
    if goal.as_json:
        print_json(tuning.to_json())


def _opener(goal: _Goal, asked: _Pipeline) -> Opener:
    """What is searched under a configuration, with the judged queries."""
    from rag_plugins.evaluation import indexed, judge, read_questions
    from rag_plugins.index import RagIndex

    if is_set(goal.db):
        if asked.questions:
            raise typer.BadParameter("a folder in BEIR's format has queries of its own; give a collection")
        return lambda config: indexed(goal.db, config, progress=sys.stderr.isatty())
    if asked.questions is None:
        raise typer.BadParameter("a pipeline is tuned by judged queries: --qrels FOLDER or --questions FILE")
    questions = read_questions(asked.questions)

    @contextmanager
    def opened(config: Config) -> Generator[tuple[RagIndex, Judged]]:
        with RagIndex.open(goal.db, config=config, collection=goal.collection, tenant=goal.tenant) as index:
            yield index, judge(index, questions)

    return opened


def _tune_fusion(goal: _Goal, queries: Path | None, qrels: Path | None, pairs: Path | None) -> None:
    from rag_plugins.evaluation.beir import read_folder
    from rag_plugins.evaluation.texts import read_queries
    from rag_plugins.evaluation.tuning.fusing import read_pairs, tune_fusion
    from rag_plugins.show.fusion import show_learned

    learned = tune_fusion(
        goal.db,
        log=read_queries(queries) if queries else (),
        judged=read_folder(qrels, corpus=False) if qrels else read_pairs(pairs) if pairs else None,
        config=goal.settings,
        collection=goal.collection,
        tenant=goal.tenant,
    )
    show_learned(learned)
    if goal.as_json:
        print_json(learned.to_json())


def _tune_funnel(goal: _Goal, leg: str | None, recall: float, k: int, queries: Path | None) -> None:
    from rag_plugins.evaluation.plots import plot_tuning
    from rag_plugins.evaluation.texts import read_queries
    from rag_plugins.evaluation.tuning.settings import write_funnel
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
    from rag_plugins.evaluation.tuning.settings import write_stage

    if goal.target is None:
        typer.echo("Nothing was written: --into TOML keeps it in a configuration")
        return
    stage = write_stage(goal.target, tuning.stage, tuning.applied, goal.settings)
    found = {"calibration": tuning.calibration, "blend": tuning.blend}
    kept = " and ".join(name for name, value in found.items() if value)
    bound = "" if stage.min_score is None else f"; its min_score is {stage.min_score:g}"
    typer.echo(f"{goal.target}: rerank stage {tuning.stage} has the {kept}{bound}")
