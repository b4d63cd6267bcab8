"""What was tuned, written into a configuration file with everything else in it left as it is."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import tomlkit
from tomlkit import TOMLDocument

from rag_plugins.config import Config, DenseLeg, FusionConfig, LegConfig, RerankerConfig
from rag_plugins.errors import ConfigError
from rag_plugins.funnel import Funnel

__all__ = ["write_funnel", "write_model", "write_pipeline", "write_stage"]

_LOCAL = Config()
_MODEL = {"model", "matryoshka", "pooling", "query_prompt", "document_prompt"}
_PER_LINE = 4
"""Points of a curve on a line of the file."""


def write_funnel(path: Path, leg: str, funnel: Funnel | None, base: Config = _LOCAL) -> None:
    """Set the funnel of a dense leg in a TOML file, None as "off"; comments and order stay.

    A file that is not there yet is made of `base`. Raises `ConfigError`, also for a file that cannot be used
    as it is.
    """
    with _edited(path, base, "legs") as document:
        _set(_leg(document, leg, path), {"funnel": "off" if funnel is None else funnel.to_json()})


def write_stage(
    path: Path, number: int, change: Callable[[RerankerConfig], RerankerConfig], base: Config = _LOCAL
) -> RerankerConfig:
    """Change a rerank stage, counted from 1, of a TOML file; what the file has now.

    Files are made and refused as `write_funnel` does it.
    """
    with _edited(path, base, "rerank") as document:
        stages = Config.make(document.unwrap()).rerank
        if not 1 <= number <= len(stages):
            raise ConfigError(f"{path}: no rerank stage {number}, it has {len(stages)}")
        changed = change(stages[number - 1])
        values = changed.model_dump(include=changed.model_fields_set - {"kind"}, exclude_none=True)
        _set(document["rerank"][number - 1], values)
    return changed


def write_pipeline(path: Path, tuned: Config, base: Config = _LOCAL) -> None:
    """Set fusion, the rerank stages, and the legs' weights, depths, funnels, k1 and b to those of `tuned`.

    Files are made and refused as `write_funnel` does it. Raises `ConfigError` where the file has other legs.
    """
    with _edited(path, base, "legs") as document:
        have = [leg.name for leg in Config.make(document.unwrap()).legs]
        if have != [leg.name for leg in tuned.legs]:
            raise ConfigError(f"{path} has the legs {have}, tuned were {[leg.name for leg in tuned.legs]}")
        for table, leg in zip(document["legs"], tuned.legs, strict=True):
            _put(table, leg, {"weight", "depth", "k1", "b", "funnel"})
        if "fusion" not in document:
            document["fusion"] = tomlkit.table()
        _put(document["fusion"], tuned.fusion, set(FusionConfig.model_fields))
        if Config.make(document.unwrap()).rerank != tuned.rerank:
            document["rerank"] = _tables(tuned.rerank) if tuned.rerank else []


def write_model(path: Path, trained: Config, base: Config = _LOCAL) -> None:
    """Set what legs and rerank stages name as their models, with widths and prompts, to those of `trained`.

    One leg or stage may be new. Files are made and refused as `write_funnel` does it. Raises `ConfigError`
    where the file has other legs or stages.
    """
    with _edited(path, base, "legs") as document:
        have = Config.make(document.unwrap())
        if [leg.name for leg in have.legs] != [leg.name for leg in trained.legs[: len(have.legs)]] or [
            stage.kind for stage in have.rerank
        ] != [stage.kind for stage in trained.rerank[: len(have.rerank)]]:
            raise ConfigError(f"{path} has other legs or rerank stages than what was trained for")
        for table, leg in zip(document["legs"], trained.legs, strict=False):
            _put(table, leg, _MODEL)
        for table in _tables(trained.legs[len(have.legs) :]):
            document["legs"].append(table)
        if have.rerank != trained.rerank:
            document["rerank"] = _tables(trained.rerank)


@contextmanager
def _edited(path: Path, base: Config, part: str) -> Generator[Any]:
    """The document of a file or of `base`, with this part; written on leaving, where it is usable."""
    if path.exists():
        Config.from_toml(path)
        document = tomlkit.parse(path.read_text(encoding="utf-8"))
    else:
        document = _as_document(base)
    if part not in document:
        document[part] = _tables(getattr(Config(), part))
    yield document
    Config.make(document.unwrap())
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


def _as_document(config: Config) -> TOMLDocument:
    """A configuration as a file: its legs, and what differs from the defaults."""
    parts = {"legs", "rerank"}
    document = tomlkit.document()
    document.update(config.model_dump(mode="json", exclude=parts, exclude_defaults=True, exclude_none=True))
    if not config.rerank:
        document["rerank"] = []
    document["legs"] = _tables(config.legs)
    if config.rerank and config.rerank != Config().rerank:
        document["rerank"] = _tables(config.rerank)
    return document


def _tables(parts: Sequence[LegConfig | RerankerConfig]) -> Any:
    tables = tomlkit.aot()
    for part in parts:
        set_here = part.model_dump(mode="json", exclude_defaults=True, exclude_none=True)
        names = {key: getattr(part, key) for key in ("kind", "name") if hasattr(part, key)}
        tables.append(tomlkit.item({**names, **set_here}))
    return tables


def _put(table: Any, settings: LegConfig | FusionConfig, names: Iterable[str]) -> None:
    """These settings: those that are not the default, or that the table has; none takes its key away."""
    fields = type(settings).model_fields
    values = {name: getattr(settings, name) for name in fields if name in set(names)}
    values = {name: each.to_json() if isinstance(each, Funnel) else each for name, each in values.items()}
    for name in [name for name, value in values.items() if value is None and name in table]:
        del table[name]
    wanted = {name: value for name, value in values.items() if value is not None}
    _set(
        table,
        {name: wanted[name] for name in wanted if name in table or wanted[name] != fields[name].default},
    )


def _set(table: Any, values: Mapping[str, Any]) -> None:
    """New keys stand below the others, and above what follows those: a comment on the next table, for one."""
    body: list[Any] = table.value.body
    below: list[Any] = []
    while body and body[-1][0] is None:
        below.append(body.pop())
    for key, value in values.items():
        if key not in table or table[key] != value:
            table[key] = _points(value) if key == "isotonic" else value
    body += reversed(below)


def _points(curve: Sequence[Sequence[float]]) -> Any:
    """A curve as an array of a few points a line."""
    points = [f"[{score!r}, {probability!r}]" for score, probability in curve]
    lines = (", ".join(points[n : n + _PER_LINE]) for n in range(0, len(points), _PER_LINE))
    return tomlkit.value("[\n" + "".join(f"    {line},\n" for line in lines) + "]")
