"""Options that several commands have, and how what is typed becomes objects."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:  # Every command imports what it needs, so that --help need not wait for it.
    from rag_plugins.config import Config
    from rag_plugins.filters import Filter
    from rag_plugins.types import JsonValue

__all__ = [
    "AsJson",
    "Collection",
    "ConfigFile",
    "Preset",
    "Tenant",
    "existing",
    "is_set",
    "make_filter",
    "print_json",
    "read_config",
]

Preset = Annotated[
    str | None, typer.Option(help="A pipeline that `rag-plugins presets` lists; default: local.")
]
ConfigFile = Annotated[Path | None, typer.Option("--config", metavar="TOML", help="A configuration instead.")]
Tenant = Annotated[str, typer.Option(help="Whose passages: everything read and written is scoped to it.")]
Collection = Annotated[str, typer.Option(metavar="NAME", help="One of several collections of the database.")]
AsJson = Annotated[bool, typer.Option("--json", help="End with the result as JSON, on one line.")]


def print_json(value: Mapping[str, JsonValue]) -> None:
    """One line, the last of a command that was asked for it."""
    typer.echo(json.dumps(value, ensure_ascii=False))


def is_set(target: str) -> bool:
    """Whether it is a folder with judged queries: a database is a folder, too."""
    return any((Path(target) / name).is_file() for name in ("corpus.jsonl", "queries.jsonl", "qrels.tsv"))


def existing(db: str) -> None:
    """Refuse a file that is not there, which opening would make."""
    if "://" not in db and not Path(db).exists():
        raise typer.BadParameter(f"there is no {db}: make it with `rag-plugins ingest PATHS… --into {db}`")


def read_config(
    preset: str | None,
    file: Path | None,
    languages: Sequence[str] | None = None,
    mode: str | None = None,
) -> Config:
    """The configuration that a preset or a file names, with other OCR languages or mode where given."""
    from rag_plugins.config import Config

    if preset and file:
        raise typer.BadParameter("give --preset or --config, not both")
    config = Config.from_toml(file) if file else Config.preset(preset or "local")
    changes: dict[str, Any] = {}
    if languages:
        named = "auto" if list(languages) == ["auto"] else languages
        changes["ocr"] = config.ocr.model_dump() | {"languages": named}
    if mode:
        changes["mode"] = mode
    return Config.make(config.model_dump() | changes) if changes else config


def make_filter(conditions: Iterable[str] | None) -> Filter | None:
    """Conditions KEY=VALUE, all of which must hold; a key given twice may have either value."""
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
