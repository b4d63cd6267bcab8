"""Commands that measure and show: the demo, evaluation, what can be configured."""

from __future__ import annotations

import importlib
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from rag_plugins.cli.options import AsJson, ConfigFile, Preset, print_json, read_config

if TYPE_CHECKING:
    from rag_plugins.evaluation.answers import AnswerFrom, Reader

__all__ = ["demo", "evaluate", "presets"]

_SCANS = "scans"
"""The pipeline for recognised pages, where none is named."""


class _Source(StrEnum):
    """`AnswerFrom`, as the command line takes it."""

    OCR = "ocr"
    IMAGE = "image"
    BOTH = "both"


def demo(
    output: Annotated[Path, typer.Option(help="Where the report goes.")] = Path("demo/report.html"),
) -> None:
    """Ingest the example documents, ask five questions, write a report that shows every step."""
    from rich.console import Console

    from rag_plugins.demo.run import run_demo

    result = run_demo(output, Console())
    typer.echo(f"\nThe report: {result.report}")


def evaluate(
    folder: Annotated[
        Path, typer.Argument(help="corpus.jsonl, queries.jsonl and qrels.tsv, as BEIR has them.")
    ],
    queries: Annotated[int | None, typer.Option(min=1, help="Draw so many, with a fixed seed.")] = None,
    chunk: Annotated[
        bool, typer.Option("--chunk", help="Cut long lines of the corpus into passages.")
    ] = False,
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
        typer.Option(metavar="MODULE:FACTORY", help="Makes a multimodal LLM that answers from the pages."),
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
    as_json: AsJson = False,
) -> None:
    """Measure every stage on a set with known answers: each leg alone, fused, reranked.

    With --ocr-ceiling: what recognition costs. The corpus has the true text of pages and names their images;
    queries may have answers. Default pipeline: scans.
    """
    its_own = {"--noise": noise, "--llm": llm, "--answer-from": answer_from, "--plot": plot}
    _check(ocr_ceiling, chunk, [option for option, value in its_own.items() if value])
    if not ocr_ceiling:
        _evaluate(folder, queries, chunk, preset, config, as_json)
        return
    from rag_plugins.evaluation.ceiling import NOISE, evaluate_ceiling
    from rag_plugins.evaluation.plots import plot_ceiling
    from rag_plugins.show.ceiling import show_ceiling

    ceiling = evaluate_ceiling(
        folder,
        read_config(preset or (None if config else _SCANS), config),
        noise=NOISE if noise is None else [percent / 100 for percent in noise],
        queries=queries,
        reader=_reader(llm) if llm else None,
        answer_from=[cast("AnswerFrom", str(source)) for source in dict.fromkeys(answer_from or ())],
        progress=sys.stderr.isatty(),
    )
    show_ceiling(ceiling)
    if plot:
        plot_ceiling(ceiling, plot)
        typer.echo(f"The plot: {plot}")
    if as_json:
        print_json(ceiling.to_json())


def _evaluate(
    folder: Path, queries: int | None, chunk: bool, preset: str | None, config: Path | None, as_json: bool
) -> None:
    from rag_plugins.evaluation import evaluate_folder
    from rag_plugins.show import show_evaluation

    result = evaluate_folder(
        folder, read_config(preset, config), queries=queries, chunked=chunk, progress=sys.stderr.isatty()
    )
    show_evaluation(result)
    if as_json:
        print_json(result.to_json())


def _check(ceiling: bool, chunk: bool, given: list[str]) -> None:
    """Refuse options that would be ignored."""
    if given and not ceiling:
        raise typer.BadParameter(f"{', '.join(given)}: only with --ocr-ceiling")
    if ceiling and chunk:
        raise typer.BadParameter("--chunk: not with --ocr-ceiling, which cuts pages as ingestion does")
    if ("--llm" in given) != ("--answer-from" in given):
        raise typer.BadParameter("--llm and --answer-from go together: who answers, and from what")


def _reader(name: str) -> Reader:
    """What the factory makes, as a function of prompt and images."""
    from rag_plugins.evaluation.answers import as_reader

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


def presets() -> None:
    """What can be named in a configuration: pipelines, dense models, rerankers."""
    from rag_plugins.show import show_presets

    show_presets()
