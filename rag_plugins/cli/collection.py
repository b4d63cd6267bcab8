"""Commands on a collection: fill it, search it, make a dictionary of it."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
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
    make_filter,
    print_json,
    read_config,
)

if TYPE_CHECKING:
    from rag_plugins.config import Config

__all__ = ["dictionary", "ingest", "search"]


def ingest(
    paths: Annotated[list[Path], typer.Argument(help="Scans, PDFs, documents, text files, folders of them.")],
    into: Annotated[str, typer.Option(metavar="DB", help="A file such as handbook.db, or http://host:port.")],
    preset: Preset = None,
    config: ConfigFile = None,
    language: Annotated[
        list[str] | None,
        typer.Option(help="A language to recognise, as Tesseract names it. May be repeated."),
    ] = None,
    password: Annotated[
        list[str] | None,
        typer.Option(
            help="Tried on encrypted PDFs. May be repeated. Others on this machine may see it: safer are "
            "`ingest.passwords` of a configuration."
        ),
    ] = None,
    collection: Collection = "passages",
    tenant: Tenant = "",
) -> None:
    """Read files, folders and patterns ("scans/**/*.pdf") into a collection: what is new or has changed.

    What cannot be read is listed at the end. Exit code 1 where nothing could be.
    """
    from rag_plugins.index import RagIndex
    from rag_plugins.show import show_summary

    settings = _with_passwords(read_config(preset, config, language), password or [])
    with _resumable(), RagIndex.open(into, config=settings, collection=collection, tenant=tenant) as index:
        summary = index.ingest(paths, progress=sys.stderr.isatty())
        total = index.count()
        weights = index.weights if summary.documents else {}  # No model is needed to find nothing new.
    show_summary(summary, total, weights)
    if not summary.documents and not summary.unchanged:
        raise typer.Exit(1)


@contextmanager
def _resumable() -> Generator[None]:
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("rag-plugins: stopped; what was read is kept: the same command goes on there", err=True)
        raise typer.Exit(130) from None


def _with_passwords(config: Config, passwords: list[str]) -> Config:
    """The configuration, with these passwords to be tried before its own."""
    from pydantic import SecretStr

    secrets = (*map(SecretStr, passwords), *config.ingest.passwords)
    return config.model_copy(update={"ingest": config.ingest.model_copy(update={"passwords": secrets})})


def search(
    db: Annotated[str, typer.Argument(help="A file such as handbook.db, or http://host:port.")],
    question: Annotated[str, typer.Argument(help="In your own words.")],
    also: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="The question in other words, or a part of it. May be repeated."),
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many passages.")] = 5,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Only passages with this metadata. Numbers, true, false and quoted values are read as JSON, "
            "all else as text. Several keys must all hold; a key given twice may have either value.",
        ),
    ] = None,
    leg: Annotated[list[str] | None, typer.Option(help="Use this leg alone. May be repeated.")] = None,
    rules: Annotated[
        bool,
        typer.Option(
            "--rules", help='Read "exact phrase", "near"~3, prefix*, wild*c?rd and fuzzy~1 as rules.'
        ),
    ] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show the terms that each sparse leg matched.")
    ] = False,
    mode: Annotated[
        str | None,
        typer.Option(help="text: no leg that reads images; dual: one at least; auto: those there are."),
    ] = None,
    preset: Preset = None,
    config: ConfigFile = None,
    collection: Collection = "passages",
    tenant: Tenant = "",
    as_json: AsJson = False,
) -> None:
    """Search a collection: passages, the pages they are from, and how each was found."""
    from rag_plugins.index import RagIndex
    from rag_plugins.lexical.rules import parse_query
    from rag_plugins.show import hit_json, show_hits

    existing(db)
    settings, filter = read_config(preset, config, mode=mode), make_filter(where)
    with RagIndex.open(db, config=settings, collection=collection, tenant=tenant) as index:
        queries = [parse_query(text) if rules else text for text in (question, *(also or ()))]
        hits = index.search_many(queries, k, filter=filter, legs=leg, explain=explain)
    show_hits(hits)
    if as_json:
        print_json({"hits": [hit_json(hit) for hit in hits], "notices": list(hits.notices)})


def dictionary(
    db: Annotated[str, typer.Argument(help="A file such as handbook.db, or http://host:port.")],
    into: Annotated[Path, typer.Option(metavar="TOML", help="A new file.")],
    preset: Preset = None,
    config: ConfigFile = None,
    collection: Collection = "passages",
    tenant: Tenant = "",
) -> None:
    """Make a first domain dictionary from a collection: weights, phrases, abbreviations. Then edit it.

    Name it in a configuration (`dictionary` of a BM25 leg) and ingest into a new collection.
    """
    from rag_plugins.index import RagIndex

    existing(db)
    if into.exists():
        raise typer.BadParameter(f"{into} exists: name a new file")
    settings = read_config(preset, config)
    with RagIndex.open(db, config=settings, collection=collection, tenant=tenant) as index:
        made = index.mine_dictionary()
    into.write_text(made.to_toml(), encoding="utf-8")
    typer.echo(f"{into}: {len(made.terms)} terms, {len(made.whole)} of them kept whole")
