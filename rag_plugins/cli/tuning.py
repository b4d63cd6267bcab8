"""Commands about prefixes: tune a collection's funnel, probe a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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

__all__ = ["probe", "tune"]

_TEXTS = 2000
"""Texts that a model is probed on where none are given."""


def tune(
    db: Annotated[str, typer.Argument(help="A file such as handbook.db, or http://host:port.")],
    recall: Annotated[
        float, typer.Option(min=0.5, max=1.0, help="The share of the exact search's best to be found.")
    ] = 0.99,
    k: Annotated[int, typer.Option("-k", min=1, help="How many best.")] = 10,
    queries: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="One a line, or JSON lines with a text; default: its sentences."),
    ] = None,
    leg: Annotated[str | None, typer.Option(help="The dense leg, where there are several.")] = None,
    into: Annotated[
        Path | None,
        typer.Option(metavar="TOML", help="Write the funnel to this configuration; default: --config's."),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Recall against cost: .svg, .png or .pdf.")
    ] = None,
    preset: Preset = None,
    config: ConfigFile = None,
    collection: Collection = "passages",
    tenant: Tenant = "",
    as_json: AsJson = False,
) -> None:
    """Find the cheapest funnel that meets a recall, on the collection itself, and search by it from now on.

    It is measured against the exact search. The collection keeps it; a configuration that names it has it
    for others too.
    """
    from rag_plugins.evaluation.plots import plot_tuning
    from rag_plugins.evaluation.settings import write_funnel
    from rag_plugins.evaluation.texts import read_queries
    from rag_plugins.index import RagIndex
    from rag_plugins.show import show_tuning

    existing(db)
    asked = read_queries(queries) if queries else None
    settings = read_config(preset, config)
    with RagIndex.open(db, config=settings, collection=collection, tenant=tenant) as index:
        tuning = index.tune(leg, recall=recall, k=k, queries=asked)
    show_tuning(tuning)
    if plot:
        plot_tuning(tuning, plot)
        typer.echo(f"The plot: {plot}")
    if target := into or config:
        name = leg or next(each.name for each in settings.legs if each.kind == "dense")
        write_funnel(target, name, tuning.funnel, preset or "local")
        typer.echo(f"{target}: the leg {name} has the funnel")
    if as_json:
        print_json(tuning.to_json())


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
