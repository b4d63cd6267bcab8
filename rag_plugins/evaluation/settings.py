"""A tuned funnel written into a configuration file, with everything else in it left as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import tomlkit
from tomlkit import TOMLDocument

from rag_plugins.config import Config, DenseLeg, LegConfig
from rag_plugins.errors import ConfigError
from rag_plugins.funnel import Funnel

__all__ = ["write_funnel"]


def write_funnel(path: Path, leg: str, funnel: Funnel | None, preset: str = "local") -> None:
    """Set the funnel of a dense leg in a TOML file, None as "off"; comments and order stay.

    A file that is not there yet is made of the preset. Raises `ConfigError`, also for a file that cannot be
    used as it is, and `UnknownPreset`.
    """
    if path.exists():
        Config.from_toml(path)
        document = tomlkit.parse(path.read_text(encoding="utf-8"))
    else:
        document = _of_preset(Config.preset(preset))
    if "legs" not in document:
        document["legs"] = _tables(Config().legs)
    _leg(document, leg, path)["funnel"] = "off" if funnel is None else funnel.to_json()
    _replace(path, tomlkit.dumps(document))


def _leg(document: Any, name: str, path: Path) -> Any:
    """The table of the dense leg of this name, which is "dense" where none is given."""
    legs = [leg for leg in document["legs"] if leg.get("kind") == "dense"]
    names = [str(leg.get("name", DenseLeg().name)) for leg in legs]
    if name not in names:
        raise ConfigError(f"{path}: no dense leg {name!r}, it has {', '.join(names) or 'none'}")
    return legs[names.index(name)]


def _replace(path: Path, text: str) -> None:
    """All at once: a crash leaves the old file or the new one."""
    made = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        made.write_text(text, encoding="utf-8", newline="")
        if path.exists():
            made.chmod(path.stat().st_mode)
        made.replace(path)
    except OSError as error:
        raise ConfigError(f"{path}: {error}") from error
    finally:
        made.unlink(missing_ok=True)


def _of_preset(config: Config) -> TOMLDocument:
    """A preset as a file: its legs, and what differs from the defaults."""
    document = tomlkit.document()
    values = config.model_dump(mode="json", exclude={"legs"}, exclude_defaults=True, exclude_none=True)
    document.update(values)
    document["legs"] = _tables(config.legs)
    return document


def _tables(legs: tuple[LegConfig, ...]) -> Any:
    tables = tomlkit.aot()
    for leg in legs:
        set_here = leg.model_dump(mode="json", exclude_defaults=True, exclude_none=True)
        tables.append(tomlkit.item({"kind": leg.kind, "name": leg.name, **set_here}))
    return tables
