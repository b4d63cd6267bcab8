"""Late-interaction models of pages: a vector for each patch of an image and for each token of a query."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from rag_plugins.errors import ConfigError, require
from rag_plugins.models.backend import quiet
from rag_plugins.models.compute.rule import Choice
from rag_plugins.models.compute.run import accelerate
from rag_plugins.models.own_code import Permission, loadable, restore_buffers
from rag_plugins.models.tokenizer import SafeTokenizer
from rag_plugins.models.trunk import as_array, explained
from rag_plugins.models.visual.images import decoded, torchvision_named, without_videos
from rag_plugins.vectors import Matrix, normalise

__all__ = ["PageTrunk", "declared_width"]

_LONGEST_QUERY = 512
"""Tokens: what is longer is no question, and each of its tokens is compared with each of every page."""

_PAGES = 8
"""At once on an accelerator; a processor gains nothing from more than one."""

_KNOWN = "vidore/colpali-v1.3-hf, vidore/colqwen2-v1.0-hf and ModernVBERT/colmodernvbert-merged are such"
_WHOLE = {"text": {"truncation": False}}
"""A cut would leave an image with fewer tokens than it has."""


class PageTrunk:
    """A `MultiVectorEncoder` on its device, run by torch. May be used by several threads at once."""

    def __init__(self, model: Any, choice: Choice) -> None:
        """`choice` names torch: other runtimes are not tried on images."""
        self.choice: Choice = accelerate(model.eval().float(), choice)
        self._model = model
        self._processor = model[0].processor
        self._tokenizer = SafeTokenizer(model.tokenizer)

    @classmethod
    def load(cls, path: Path, choice: Choice, permission: Permission) -> PageTrunk:
        """Safetensors only, nothing downloaded. Raises `ConfigError` for what is no such model.

        Raises `MissingExtra` where its processor needs torchvision and that is absent.
        """
        _check(path)
        library: Any = require("sentence_transformers", extra="models")
        with (
            loadable(path, permission) as source,
            without_videos(source.path) as folder,
            quiet(),
            explained(path, source.code),
            torchvision_named(path),
        ):
            model = library.MultiVectorEncoder(
                str(folder),
                device=choice.device,
                local_files_only=True,
                trust_remote_code=source.code is not None,
                model_kwargs={"use_safetensors": True},
            )
            if source.code:
                restore_buffers(model.transformers_model)
        if not model.supports("image"):
            raise ConfigError(f"{path} reads texts alone: a page-tokens leg reads images. {_KNOWN}")
        return cls(model, choice)

    @property
    def width(self) -> int:
        """Numbers in the vector of a token."""
        return int(self._model.get_embedding_dimension())

    def queries(self, texts: Sequence[str]) -> list[Matrix]:
        """Unit rows for the tokens of each query, with those that its model adds to every one."""
        return [self._vectors(self._query(self._cut(text)), "query")[0] for text in texts]

    def images(self, images: Sequence[bytes]) -> list[Matrix]:
        """Unit rows for the tokens of each encoded image. Raises `BadInput` for one that does not decode."""
        pages = decoded(images)
        size = 1 if self.choice.device == "cpu" else _PAGES
        found: list[Matrix] = []
        while batch := list(islice(pages, size)):
            found += self._vectors(self._pages(batch), "document")
        return found

    # A processor may have its own way with both sides: prefix, suffix, prompt. sentence-transformers leaves
    # that out for ColModernVBERT, whose images it cannot read at all then.

    def _query(self, text: str) -> Mapping[str, Any]:
        prompt = self._saved_prompt("query")
        with self._tokenizer.lock:
            if hasattr(self._processor, "process_queries"):
                return {**self._processor.process_queries([prompt + text]), "modality": "text"}
            # By name: a bare string that looks like a path or an address would be opened as an image.
            return self._model.preprocess([{"text": text}], prompt=prompt or None, task="query")

    def _pages(self, images: list[Any]) -> Mapping[str, Any]:
        with self._tokenizer.lock:
            if hasattr(self._processor, "process_images"):
                return {**self._processor.process_images(images), "modality": "image"}
            prompt = self._saved_prompt("document", "passage", "corpus") or None
            return self._model.preprocess(images, prompt=prompt, task="document", processing_kwargs=_WHOLE)

    def _saved_prompt(self, *names: str) -> str:
        return next((prompt for name in names if (prompt := self._model.prompts.get(name))), "")

    def _cut(self, text: str) -> str:
        """The text as far as it is read."""
        options = {"truncation": True, "max_length": _LONGEST_QUERY, "add_special_tokens": False}
        [offsets] = self._tokenizer([text], return_offsets_mapping=True, **options)["offset_mapping"]
        return text[: offsets[-1][1]] if len(offsets) == _LONGEST_QUERY else text

    def _vectors(self, features: Mapping[str, Any], task: str) -> list[Matrix]:
        import torch

        device = self._model.device
        placed = {
            name: value.to(device) if torch.is_tensor(value) else value for name, value in features.items()
        }
        with torch.inference_mode():
            out = self._model(placed, task=task)
        kept = as_array(out["attention_mask"]).astype(bool)
        rows = zip(as_array(out["token_embeddings"]), kept, strict=True)
        return [_finite(normalise(matrix[mask])) for matrix, mask in rows]


def declared_width(path: Path) -> int | None:
    """Numbers in the vector of a token, as a model of transformers declares it; None where it does not."""
    return None if (path / "modules.json").is_file() else _json(path / "config.json").get("embedding_dim")


def _check(path: Path) -> None:
    """sentence-transformers would give any other model a last layer of random numbers."""
    if (path / "adapter_config.json").is_file():
        base = _json(path / "adapter_config.json").get("base_model_name_or_path")
        raise ConfigError(f"{path} is an adapter of {base}: choose a model that has it merged. {_KNOWN}")
    made: Sequence[str] = _json(path / "config.json").get("architectures") or ()
    kind = _json(path / "config_sentence_transformers.json").get("model_type")
    if kind not in ("MultiVectorEncoder", "ColBERT") and not any(n.endswith("ForRetrieval") for n in made):
        raise ConfigError(
            f"{path} holds {', '.join(made) or kind or 'a model'}, which gives no vector for each patch of a "
            f"page: choose a late-interaction model of pages. {_KNOWN}"
        )


def _finite(matrix: Matrix) -> Matrix:
    return matrix[np.isfinite(matrix).all(axis=1)]


def _json(file: Path) -> Mapping[str, Any]:
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
