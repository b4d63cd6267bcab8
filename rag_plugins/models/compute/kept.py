"""Converted models on disk, so that the next process need not convert; they may be lost at any time."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rag_plugins.models.compute.runtime import core, runtime

__all__ = ["Kept", "folder"]

_logger = logging.getLogger(__name__)

_FORMAT = "1"
"""Another one, and all is converted anew."""

_UNUSED = 30 * 24 * 3600
"""Seconds after which what nobody loaded is deleted."""


def folder() -> Path:
    """The user's own: XDG_CACHE_HOME, else ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "rag-plugins" / "openvino"


@dataclass(frozen=True, slots=True)
class Kept:
    """The place of one converted model: a folder that is there as a whole or not at all."""

    place: Path

    @classmethod
    def of(cls, model: Any, *names: str) -> Kept:
        """By its weights, class and configuration, the libraries, and what names are given besides."""
        sha = hashlib.sha256()
        libraries = [f"{name} {version(name)}" for name in ("torch", "transformers", "openvino")]
        kind = f"{type(model).__module__}.{type(model).__qualname__}"
        for part in (_FORMAT, *libraries, kind, _settings(model), *names):
            sha.update(part.encode() + b"\0")
        for name, tensor in _tensors(model):
            sha.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\0".encode())
            sha.update(tensor)
        return cls(folder() / sha.hexdigest()[:32])

    def read(self) -> Any:
        """The model, or None where none is kept; its weights stay on disk until they are read."""
        try:
            os.utime(self.place)
            return core().read_model(self.place / "model.xml")
        except OSError:
            return None
        except RuntimeError:  # It is damaged.
            self.drop()
            return None

    def write(self, graph: Any) -> Any:
        """Keep a model, and give it back as it is kept, or as it was where it cannot be."""
        try:
            self.place.parent.mkdir(parents=True, exist_ok=True)
            _sweep(self.place.parent)
            with tempfile.TemporaryDirectory(prefix="new-", dir=self.place.parent) as made:
                unfinished = Path(made) / "kept"
                runtime().save_model(graph, unfinished / "model.xml", compress_to_fp16=False)
                unfinished.rename(self.place)
        except (OSError, RuntimeError) as error:  # Where another process was first, its folder is as good.
            _logger.info("a converted model is not kept: %s", error)
        return self.read() or graph

    def drop(self) -> None:
        """Forget what is kept."""
        shutil.rmtree(self.place, ignore_errors=True)


def _settings(model: Any) -> str:
    """A model's configuration, wherever it was loaded from."""

    def placeless(settings: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in settings.items() if name != "_name_or_path"}

    return json.dumps(json.loads(model.config.to_json_string(use_diff=False), object_hook=placeless))


def _tensors(model: Any) -> Iterator[tuple[str, Any]]:
    """All numbers of a model, as bytes that can be hashed."""
    import torch

    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        yield name, tensor.detach().contiguous().flatten().view(torch.uint8).numpy()


def _sweep(kept: Path) -> None:
    """Delete what was not loaded for long, and what processes that were killed left behind."""
    for place in kept.iterdir():
        if place.stat().st_mtime < time.time() - _UNUSED:
            shutil.rmtree(place, ignore_errors=True)
