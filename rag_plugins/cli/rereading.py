"""The command that recognises scanned pages of a collection anew."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rag_plugins.cli.options import Collection, ConfigFile, Preset, Tenant, existing, read_config

if TYPE_CHECKING:
    from rag_plugins.config import Config, OcrConfig

__all__ = ["reread"]


def reread(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders that were ingested.")],
    db: Annotated[
        str, typer.Option("--in", metavar="DB", help="A file such as handbook.db, or http://host:port.")
    ],
    preset: Preset = None,
    config: ConfigFile = None,
    language: Annotated[
        list[str] | None,
        typer.Option(help="A language to recognise, as Tesseract names it, or auto. May be repeated."),
    ] = None,
    engine: Annotated[str | None, typer.Option(help="What recognises: tesseract or rapidocr.")] = None,
    dpi: Annotated[int | None, typer.Option(help="Resolution that PDF pages are rendered at.")] = None,
    collection: Collection = "passages",
    tenant: Tenant = "",
) -> None:
    """Recognise scanned pages again, with other settings: the LLM reads the new text at once.

    What retrieval searches stays as it is, so that no model runs and no vector changes. What cannot be read
    is listed at the end. Exit code 1 where nothing could be.
    """
    from rag_plugins.index import RagIndex
    from rag_plugins.show import show_reread

    existing(db)
    settings = read_config(preset, config)
    ocr = _changed(settings, language, engine=engine, dpi=dpi)
    with RagIndex.open(db, config=settings, collection=collection, tenant=tenant) as index:
        summary = index.reread(paths, ocr=ocr, progress=sys.stderr.isatty())
    show_reread(summary)
    if summary.bad and not summary.pages:
        raise typer.Exit(1)


def _changed(config: Config, languages: list[str] | None, **settings: object) -> OcrConfig:
    """Its settings of recognition with those that were given in place of theirs. Raises `ConfigError`."""
    from rag_plugins.config import Config

    given = {name: value for name, value in settings.items() if value is not None}
    if languages:
        given["languages"] = "auto" if languages == ["auto"] else languages
    return Config.make(config.model_dump() | {"ocr": config.ocr.model_dump() | given}).ocr
