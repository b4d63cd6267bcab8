"""Commands that show: the demo, and what can be configured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["demo", "presets"]


def demo(
    output: Annotated[Path, typer.Option(help="Where the report goes.")] = Path("demo/report.html"),
) -> None:
    """Ingest the example documents, ask five questions, write a report that shows every step."""
    from rich.console import Console

    from rag_plugins.demo.run import run_demo

    result = run_demo(output, Console())
    typer.echo(f"\nThe report: {result.report}")


def presets() -> None:
    """What can be named in a configuration: pipelines, dense models, rerankers."""
    from rag_plugins.show import show_presets

    show_presets()
