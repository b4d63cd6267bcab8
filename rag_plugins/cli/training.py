"""The command that trains a model for a leg or a rerank stage, and says whether it is worth using."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from enum import StrEnum
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
    from rag_plugins.index import RagIndex
    from rag_plugins.training import Pairs, Task, Trained

__all__ = ["train"]

_USED = "pipeline.toml"
"""The configuration with the model, in its folder, where none was given to be changed."""


class _Kind(StrEnum):
    """`rag_plugins.training.Kind`, as the command line takes it."""

    DENSE = "dense"
    SPARSE = "sparse"
    RERANKER = "reranker"


def train(
    kind: Annotated[_Kind, typer.Argument(help="What is trained: a leg's model, or a rerank stage's.")],
    source: Annotated[
        str,
        typer.Argument(
            help="Pairs, .jsonl or .csv: query, positive, negatives; a folder in BEIR's format; a collection."
        ),
    ],
    into: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the model goes.")],
    log: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A collection's questions, .csv or .jsonl: query, and doc_id, page, passage or answer.",
        ),
    ] = None,
    mine: Annotated[
        str | None,
        typer.Option(metavar="DB", help="A collection that passages are taken from that answer nothing."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="Start from these weights, not the configuration's.")
    ] = None,
    leg: Annotated[str | None, typer.Option(help="Which leg, where there are several.")] = None,
    licence: Annotated[
        str, typer.Option(metavar="NAME", help="Of what is learned from, for the model's card.")
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be trained, and how long it takes here.")
    ] = False,
    preset: Preset = None,
    config: ConfigFile = None,
    collection: Collection = "passages",
    tenant: Tenant = "",
    as_json: AsJson = False,
) -> None:
    """Train on your own questions: a bi-encoder with prefixes, a sparse model, or a reranker.

    The configuration's tables train.dense, train.sparse and train.reranker say how. Afterwards the whole
    pipeline is searched with the model and without it, on questions that were not trained on: the
    configuration names the model only where it is not worse.

    A run that was stopped goes on where it was.
    """
    from rag_plugins.training import Task, plan
    from rag_plugins.training import train as trained

    settings = read_config(preset, config)
    task = Task.of(kind.value, settings, model=model, leg=leg)
    with _opened(source, log, mine, settings, collection, tenant) as (pairs, index):
        if dry_run:
            from rag_plugins.show.training import show_plan

            planned = plan(task, pairs, index)
            show_plan(planned)
            if as_json:
                print_json(planned.to_json())
            return
        for line in pairs.bad:
            typer.echo(f"left out: {line}", err=True)
        found = trained(
            task,
            pairs,
            into,
            index=index,
            data=Path(source).name,
            licence=licence,
            progress=sys.stderr.isatty(),
        )
    _tell(task, found, config)
    if as_json:
        print_json(found.to_json())


@contextmanager
def _opened(
    source: str, log: Path | None, mine: str | None, settings: Config, collection: str, tenant: str
) -> Generator[tuple[Pairs, RagIndex | None]]:
    """What is learned from, and the collection that negatives are taken from, where there is one."""
    from rag_plugins.evaluation import read_questions
    from rag_plugins.index import RagIndex
    from rag_plugins.training import pairs_of_log, read_pairs

    if log and mine:
        raise typer.BadParameter("--mine: a collection with a --log is its own")
    db = source if log else mine
    if db is None:
        yield read_pairs(source), None
        return
    existing(db)
    with RagIndex.open(db, config=settings, collection=collection, tenant=tenant) as index:
        if log:
            yield pairs_of_log(index, read_questions(log), progress=sys.stderr.isatty()), index
        else:
            yield read_pairs(source), index


def _tell(task: Task, found: Trained, config: Path | None) -> None:
    from rag_plugins.evaluation.tuning.settings import write_model
    from rag_plugins.show import show_comparison
    from rag_plugins.show.training import show_trained

    show_trained(found)
    show_comparison(found.comparison, *found.records)
    typer.echo(
        f"The model: {found.folder}; compare again: rag-plugins evaluate --compare {found.compare_with}"
    )
    if not found.better:
        typer.echo("It makes the pipeline worse: the configuration stays as it is.")
        return
    target = config or found.folder / _USED
    write_model(target, found.config, task.config)
    typer.echo(f"{target}: the {task.name} {'stage' if task.kind == 'reranker' else 'leg'} has the model")
