"""The command that measures: a set, a collection with one's own questions, two evaluations side by side."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

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
    from rag_plugins.evaluation import Judged
    from rag_plugins.evaluation.answers import AnswerFrom, Reader
    from rag_plugins.index import RagIndex

__all__ = ["evaluate"]

_SCANS = "scans"
"""The pipeline for recognised pages, where none is named."""


class _Source(StrEnum):
    """`AnswerFrom`, as the command line takes it."""

    OCR = "ocr"
    IMAGE = "image"
    BOTH = "both"


def evaluate(
    target: Annotated[
        str | None,
        typer.Argument(help="A folder in BEIR's format, or a collection: handbook.db, http://host:port."),
    ] = None,
    questions: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A collection's questions, .csv or .jsonl: question, and document, page, passage or answer.",
        ),
    ] = None,
    synthesize: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Make so many questions of a collection's passages."),
    ] = None,
    queries: Annotated[int | None, typer.Option(min=1, help="Draw so many, with a fixed seed.")] = None,
    chunk: Annotated[
        bool, typer.Option("--chunk", help="Cut long lines of a folder's corpus into passages.")
    ] = False,
    measure: Annotated[
        list[str] | None, typer.Option(metavar="NAME@K", help="Such as nDCG@5, Recall@20; may be repeated.")
    ] = None,
    budget: Annotated[
        list[int] | None,
        typer.Option(min=1, metavar="TOKENS", help="Of contexts that known answers are looked for in."),
    ] = None,
    save: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Keep the runs, in TREC's format.")
    ] = None,
    baseline: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="A saved evaluation to compare this one with.")
    ] = None,
    compare: Annotated[
        tuple[Path, Path] | None,
        typer.Option(metavar="BEFORE AFTER", help="Compare two saved evaluations; nothing is searched."),
    ] = None,
    stage: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which stage is compared; default: the last of each.")
    ] = None,
    report: Annotated[Path | None, typer.Option(metavar="FILE", help="A page with all of it, .html.")] = None,
    ocr_ceiling: Annotated[
        bool,
        typer.Option(
            "--ocr-ceiling",
            help="Compare true text, OCR of the images that the corpus names, noisy text, and dual mode.",
        ),
    ] = False,
    noise: Annotated[
        list[float] | None,
        typer.Option(min=0, max=50, help="Character errors in 100; may be repeated. Default: 5, 10, 20."),
    ] = None,
    llm: Annotated[
        str | None,
        typer.Option(metavar="MODULE:FACTORY", help="Makes an LLM that writes questions, or answers them."),
    ] = None,
    answer_from: Annotated[
        list[_Source] | None,
        typer.Option(help="What the LLM is given of the pages found; may be repeated."),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What was measured: .svg, .png or .pdf.")
    ] = None,
    preset: Preset = None,
    config: ConfigFile = None,
    collection: Collection = "passages",
    tenant: Tenant = "",
    as_json: AsJson = False,
) -> None:
    """Measure every stage on questions with known answers: each leg alone, its funnel, fused, reranked.

    A folder is indexed afresh. A collection is searched with your own questions, or with such as are made of
    its passages. Two saved evaluations are compared query by query.

    With --ocr-ceiling: what recognition costs. The corpus has the true text of pages and names their images;
    queries may have answers. Default pipeline: scans.
    """
    if compare:
        given = {"TARGET": target, "--questions": questions, "--synthesize": synthesize, "--queries": queries}
        given |= {"--save": save, "--baseline": baseline, "--report": report, "--measure": measure}
        _refuse(given, "not with --compare, which searches nothing")
        _compare(*compare, stage, as_json)
        return
    if target is None:
        raise typer.BadParameter("what is to be measured? A folder in BEIR's format, or a collection")
    if ocr_ceiling:
        given = {"--questions": questions, "--synthesize": synthesize, "--save": save, "--report": report}
        given |= {"--baseline": baseline, "--chunk": chunk, "--measure": measure, "--budget": budget}
        _refuse(given, "not with --ocr-ceiling, which makes its own collections")
        if bool(llm) != bool(answer_from):
            raise typer.BadParameter("--llm and --answer-from go together: who answers, and from what")
        settings = read_config(preset or (None if config else _SCANS), config)
        _evaluate_ceiling(Path(target), settings, _Ceiling(noise, llm, answer_from, plot), queries, as_json)
        return
    _refuse({"--noise": noise, "--answer-from": answer_from, "--plot": plot}, "only with --ocr-ceiling")
    _refuse({"--llm": llm and not synthesize}, "only with --synthesize or --ocr-ceiling")
    _refuse({"--stage": stage and not baseline}, "only with --compare or --baseline")
    asked = _Asked(target, questions, synthesize, queries, chunk, llm, collection, tenant)
    outputs = _Outputs(save, baseline, stage, report, as_json)
    _evaluate(asked, read_config(preset, config), measure or (), budget or (), outputs)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is searched, and with which queries."""

    target: str
    questions: Path | None
    synthesize: int | None
    queries: int | None
    chunk: bool
    llm: str | None
    collection: str
    tenant: str


@dataclass(frozen=True, slots=True)
class _Outputs:
    """Where what was measured goes, and what it is compared with."""

    save: Path | None
    baseline: Path | None
    stage: str | None
    report: Path | None
    as_json: bool


@dataclass(frozen=True, slots=True)
class _Ceiling:
    """What --ocr-ceiling has options for."""

    noise: list[float] | None
    llm: str | None
    answer_from: list[_Source] | None
    plot: Path | None


def _refuse(given: Mapping[str, object], why: str) -> None:
    """Refuse options that would be ignored."""
    if options := [name for name, value in given.items() if value]:
        raise typer.BadParameter(f"{', '.join(options)}: {why}")


def _evaluate(
    asked: _Asked, config: Config, measure: Sequence[str], budget: Sequence[int], outputs: _Outputs
) -> None:
    from rag_plugins.evaluation import Record, compare
    from rag_plugins.evaluation import evaluate as measured
    from rag_plugins.evaluation.generation import BUDGETS
    from rag_plugins.evaluation.measures import MEASURES, named
    from rag_plugins.evaluation.report import write_report
    from rag_plugins.show import show_comparison, show_evaluation

    measures = named(measure) if measure else MEASURES
    before = Record.load(outputs.baseline) if outputs.baseline else None  # Refused now, not after searching.
    with _opened(asked, config) as (index, judged):
        result = measured(
            index, judged, measures=measures, budgets=budget or BUDGETS, progress=sys.stderr.isatty()
        )
        show_evaluation(result)
        printed = result.to_json()
        name = outputs.save.name if outputs.save else Path(asked.target).name
        record = Record.of(name, result, index)
        if outputs.save:
            typer.echo(f"The runs: {record.save(outputs.save)}")
        compared = compare(before, record, outputs.stage) if before else None
        if before and compared:
            show_comparison(compared, before, record)
            printed["compared"] = compared.to_json()
        if outputs.report:
            page = write_report(outputs.report, record, result, index, baseline=before, compared=compared)
            typer.echo(f"The report: {page}")
    if outputs.as_json:
        print_json(printed)


@contextmanager
def _opened(asked: _Asked, config: Config) -> Generator[tuple[RagIndex, Judged]]:
    """The collection, and the queries that it is searched with."""
    from rag_plugins.evaluation import indexed

    if is_set(asked.target):
        given = {"--questions": asked.questions, "--synthesize": asked.synthesize, "--tenant": asked.tenant}
        _refuse(given, "a folder in BEIR's format has questions of its own; give a collection")
        shown = sys.stderr.isatty()
        with indexed(
            asked.target, config, queries=asked.queries, chunked=asked.chunk, progress=shown
        ) as opened:
            yield opened
        return
    _refuse({"--chunk": asked.chunk}, "only with a folder in BEIR's format")
    if bool(asked.questions) == bool(asked.synthesize):
        raise typer.BadParameter(
            "a collection is measured with --questions FILE or with --synthesize N; "
            "a folder in BEIR's format has corpus.jsonl, queries.jsonl and qrels.tsv"
        )
    existing(asked.target)
    with _collection(asked, config) as index:
        yield index, _judged(asked, index).sample(asked.queries)


def _collection(asked: _Asked, config: Config) -> RagIndex:
    from rag_plugins.index import RagIndex

    return RagIndex.open(asked.target, config=config, collection=asked.collection, tenant=asked.tenant)


def _judged(asked: _Asked, index: RagIndex) -> Judged:
    from rag_plugins.evaluation import judge, made_questions, read_questions

    if asked.questions:
        return judge(index, read_questions(asked.questions))
    reader = _reader(asked.llm) if asked.llm else None
    return made_questions(index, asked.synthesize or 0, reader=reader, progress=sys.stderr.isatty())


def _compare(before: Path, after: Path, stage: str | None, as_json: bool) -> None:
    from rag_plugins.evaluation import Record, compare
    from rag_plugins.show import show_comparison

    old, new = Record.load(before), Record.load(after)
    compared = compare(old, new, stage)
    show_comparison(compared, old, new)
    if as_json:
        print_json(compared.to_json())


def _evaluate_ceiling(
    folder: Path, config: Config, given: _Ceiling, queries: int | None, as_json: bool
) -> None:
    from rag_plugins.evaluation.ceiling import NOISE, evaluate_ceiling
    from rag_plugins.evaluation.plots import plot_ceiling
    from rag_plugins.show.ceiling import show_ceiling

    ceiling = evaluate_ceiling(
        folder,
        config,
        noise=NOISE if given.noise is None else [percent / 100 for percent in given.noise],
        queries=queries,
        reader=_reader(given.llm) if given.llm else None,
        answer_from=[cast("AnswerFrom", str(source)) for source in dict.fromkeys(given.answer_from or ())],
        progress=sys.stderr.isatty(),
    )
    show_ceiling(ceiling)
    if given.plot:
        plot_ceiling(ceiling, given.plot)
        typer.echo(f"The plot: {given.plot}")
    if as_json:
        print_json(ceiling.to_json())


def _reader(name: str) -> Reader:
    """What the factory makes, as a function of prompt and images."""
    from rag_plugins.evaluation import as_reader

    module, colon, factory = name.partition(":")
    if not colon or not module or not factory:
        raise typer.BadParameter(f"--llm {name}: expected MODULE:FACTORY")
    sys.path.insert(0, "")  # As python -m has it: a module beside the data is one's own.
    try:
        make = getattr(importlib.import_module(module), factory)
    except (ImportError, AttributeError) as error:
        raise typer.BadParameter(f"--llm {name}: {error}") from error
    finally:
        sys.path.remove("")
    return as_reader(make())
