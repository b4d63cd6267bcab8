"""The command line: rag-plugins demo | ingest | search | dictionary | evaluate | presets."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from rag_plugins import __version__
from rag_plugins.errors import RagPluginsError

if TYPE_CHECKING:  # Every command imports what it needs, so that --help need not wait for it.
    from rag_plugins.config import Config
    from rag_plugins.filters import Filter
    from rag_plugins.types import JsonValue

__all__ = ["app", "main"]

app = typer.Typer(
    name="rag-plugins",
    help="Hybrid retrieval over Milvus: scanned pages in, grounded passages out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Preset = Annotated[
    str | None, typer.Option(help="A pipeline that `rag-plugins presets` lists; default: local.")
]
ConfigFile = Annotated[Path | None, typer.Option("--config", metavar="TOML", help="A configuration instead.")]
Tenant = Annotated[str, typer.Option(help="Whose passages: everything read and written is scoped to it.")]
Collection = Annotated[str, typer.Option(metavar="NAME", help="One of several collections of the database.")]
AsJson = Annotated[bool, typer.Option("--json", help="End with the result as JSON, on one line.")]


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """The console script. Exit codes: 0, 1 an error that is shown, 2 wrong usage, 130 interrupted."""
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


@app.command()
def demo(
    output: Annotated[Path, typer.Option(help="Where the report goes.")] = Path("demo/report.html"),
) -> None:
    """Ingest the example documents, ask five questions, write a report that shows every step."""
    from rich.console import Console

    from rag_plugins.demo.run import run_demo

    result = run_demo(output, Console())
    typer.echo(f"\nThe report: {result.report}")


@app.command()
def ingest(
    paths: Annotated[list[Path], typer.Argument(help="Scans, PDFs, text files, or folders of them.")],
    into: Annotated[str, typer.Option(metavar="DB", help="A file such as handbook.db, or http://host:port.")],
    preset: Preset = None,
    config: ConfigFile = None,
    language: Annotated[
        list[str] | None,
        typer.Option(help="A language to recognise, as Tesseract names it. May be repeated."),
    ] = None,
    collection: Collection = "passages",
    tenant: Tenant = "",
) -> None:
    """Read files and folders into a collection: only what is new or has changed.

    What cannot be read is listed at the end. Exit code 1 where nothing could be.
    """
    from rag_plugins.index import RagIndex
    from rag_plugins.show import show_summary

    settings = _config(preset, config, language)
    with RagIndex.open(into, config=settings, collection=collection, tenant=tenant) as index:
        summary = index.ingest(paths, progress=sys.stderr.isatty())
        total = index.count()
        weights = index.weights if summary.documents else {}  # No model is needed to find nothing new.
    show_summary(summary, total, weights)
    if not summary.documents and not summary.unchanged:
        raise typer.Exit(1)


@app.command()
def search(
    db: Annotated[str, typer.Argument(help="A file such as handbook.db, or http://host:port.")],
    question: Annotated[str, typer.Argument(help="In your own words.")],
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

    _existing(db)
    settings, filter = _config(preset, config), _filter(where)
    with RagIndex.open(db, config=settings, collection=collection, tenant=tenant) as index:
        query = parse_query(question) if rules else question
        hits = index.search(query, k, filter=filter, legs=leg, explain=explain)
    show_hits(hits)
    if as_json:
        _print_json({"hits": [hit_json(hit) for hit in hits], "notices": list(hits.notices)})


@app.command()
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

    _existing(db)
    if into.exists():
        raise typer.BadParameter(f"{into} exists: name a new file")
    settings = _config(preset, config)
    with RagIndex.open(db, config=settings, collection=collection, tenant=tenant) as index:
        made = index.mine_dictionary()
    into.write_text(made.to_toml(), encoding="utf-8")
    typer.echo(f"{into}: {len(made.terms)} terms, {len(made.whole)} of them kept whole")


@app.command()
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
        folder, _config(preset, config), queries=queries, chunked=chunk, progress=sys.stderr.isatty()
    )
    show_evaluation(result)
    if as_json:
        _print_json(result.to_json())


@app.command()
def presets() -> None:
    """What can be named in a configuration: pipelines, dense models, rerankers."""
    from rag_plugins.show import show_presets

    show_presets()


def _print_json(value: Mapping[str, JsonValue]) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False))


def _existing(db: str) -> None:
    if "://" not in db and not Path(db).exists():
        raise typer.BadParameter(f"there is no {db}: make it with `rag-plugins ingest PATHS… --into {db}`")


def _config(preset: str | None, file: Path | None, languages: Sequence[str] | None = None) -> Config:
    from rag_plugins.config import Config

    if preset and file:
        raise typer.BadParameter("give --preset or --config, not both")
    config = Config.from_toml(file) if file else Config.preset(preset or "local")
    if not languages:
        return config
    return Config.make(config.model_dump() | {"ocr": config.ocr.model_dump() | {"languages": languages}})


def _filter(conditions: Iterable[str] | None) -> Filter | None:
    from rag_plugins.filters import all_of

    values: dict[str, list[str | int | float | bool]] = {}
    for condition in conditions or ():
        key, equals, value = condition.partition("=")
        if not equals:
            raise typer.BadParameter(f"--where {condition}: expected KEY=VALUE")
        values.setdefault(key, []).append(_value(value))
    return all_of(values) if values else None


def _value(text: str) -> str | int | float | bool:
    try:
        value = json.loads(text, parse_constant=str)
    except ValueError:
        return text
    return value if isinstance(value, str | int | float | bool) else text
