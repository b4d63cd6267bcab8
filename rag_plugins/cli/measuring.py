"""Commands that measure and show: the demo, evaluation, what can be configured."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from rag_plugins.cli.options import AsJson, ConfigFile, Preset, print_json, read_config

__all__ = ["demo", "evaluate", "presets"]


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
    preset: Preset = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Measure every stage on a set with known answers: each leg alone, fused, reranked."""
    from rag_plugins.evaluation import evaluate_folder
    from rag_plugins.show import show_evaluation

    result = evaluate_folder(
        folder, read_config(preset, config), queries=queries, chunked=chunk, progress=sys.stderr.isatty()
    )
    show_evaluation(result)
    if as_json:
        print_json(result.to_json())


def presets() -> None:
    """What can be named in a configuration: pipelines, dense models, rerankers."""
    from rag_plugins.show import show_presets

    show_presets()
