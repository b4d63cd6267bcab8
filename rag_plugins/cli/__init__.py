"""The command line; `rag-plugins --help` lists its commands."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from rag_plugins import __version__
from rag_plugins.cli.chatting import chat
from rag_plugins.cli.collection import dictionary, ingest, search
from rag_plugins.cli.doctor import doctor
from rag_plugins.cli.evaluating import evaluate
from rag_plugins.cli.migrating import migrate
from rag_plugins.cli.probing import probe
from rag_plugins.cli.ranking import rank, score
from rag_plugins.cli.rereading import reread
from rag_plugins.cli.showing import demo, presets
from rag_plugins.cli.training import train
from rag_plugins.cli.tuning import tune
from rag_plugins.errors import RagPluginsError

__all__ = ["app", "main"]

COMMANDS = (
    demo,
    ingest,
    migrate,
    chat,
    reread,
    search,
    rank,
    score,
    dictionary,
    tune,
    train,
    evaluate,
    probe,
    presets,
    doctor,
)

app: typer.Typer = typer.Typer(
    name="rag-plugins",
    help="Hybrid retrieval over Milvus: scanned pages in, grounded passages out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

for _command in COMMANDS:
    app.command()(_command)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """The console script. Exit codes: 0, 1 an error that is shown, 2 wrong usage, 130 interrupted."""
    # Warnings belong on a terminal; where the package is a library, the program decides.
    if logging.lastResort:
        logging.getLogger("rag_plugins").addHandler(logging.lastResort)
    try:
        app(args=arguments)
    except RagPluginsError as error:
        typer.echo(f"rag-plugins: {error}", err=True)
    sys.exit(1)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rag-plugins {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass
