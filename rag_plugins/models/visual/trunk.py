"""Models of sentence-transformers that put texts and images into one space: a vector each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from rag_plugins.errors import ConfigError, require
from rag_plugins.models.backend import quiet, readable_length
from rag_plugins.models.batching import token_batches
from rag_plugins.models.compute.rule import Choice
from rag_plugins.models.own_code import Permission, loadable, restore_buffers
from rag_plugins.models.trunk import as_array, explained
from rag_plugins.models.visual.images import decoded, torchvision_named, without_videos
from rag_plugins.vectors import Matrix, normalise

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["ImageTrunk"]

_BATCH_IMAGES = 32
_BATCH_PIXELS = 16_000_000
"""Of decoded images, three bytes each: four pages as they are stored, from which on a batch gains nothing."""

_PADDED = frozenset({"siglip", "siglip2"})
"""Types of models that read the padding too: trained on texts in lower case, padded to their full length."""

_WHOLE = {"text": {"truncation": False}}
"""A cut would leave an image with fewer tokens than it has."""


class ImageTrunk:
    """A `SentenceTransformer` on its device. May be used by several threads at once."""

    def __init__(self, model: Any, choice: Choice) -> None:
        """`choice` names torch: other runtimes are not tried on images."""
        self.choice = choice
        """What it runs on."""
        self._model = model.eval().float()
        self._lower = _type_of(model[0]) in _PADDED
        self._lock = Lock()  # Tokenizers written in Rust fail when two threads use them.
        for module in _transformers(model):
            _set_length(module)
        if choice.precision == "bf16":
            _to_bf16(self._model)
        # Measured: what the library says may be the width of a tower before its projection.
        self.dim: int = self._vectors([{"text": "text"}], "").shape[1]

    @classmethod
    def load(cls, path: Path, reads: frozenset[str], choice: Choice, permission: Permission) -> ImageTrunk:
        """Safetensors only, nothing downloaded. Raises `ConfigError` for what does not read all of `reads`.

        Raises `MissingExtra` where its processor needs torchvision and that is absent.
        """
        library: Any = require("sentence_transformers", extra="models")
        with (
            loadable(path, permission) as source,
            without_videos(source.path) as folder,
            quiet(),
            explained(path, source.code),
            torchvision_named(path),
        ):
            model = library.SentenceTransformer(
                str(folder),
                device=choice.device,
                local_files_only=True,
                trust_remote_code=source.code is not None,
                model_kwargs={"use_safetensors": True},
            )
            _check(model, path, reads)
            if source.code:
                restore_buffers(model.transformers_model)
            trunk = cls(model, choice)
            if "image" in reads:
                trunk.check_images(path)
            return trunk

    def check_images(self, path: Path) -> None:
        """Raises `ConfigError` where it puts images into another space than texts."""
        require("PIL", extra="ocr")
        from PIL import Image

        width = self._vectors([Image.new("RGB", (64, 64), "white")], "", processing_kwargs=_WHOLE).shape[1]
        if width != self.dim:
            raise ConfigError(
                f"{path} gives texts {self.dim} numbers and images {width}: an image leg needs a model that "
                "puts both into one space"
            )

    @property
    def prompts(self) -> Mapping[str, str]:
        """Prompts that it was saved with, by name."""
        return self._model.prompts

    def texts(self, texts: Sequence[str], prompt: str) -> Matrix:
        """Unit vectors of texts, each after the prompt, or with it as a system message."""
        if self._lower:
            texts, prompt = [text.lower() for text in texts], prompt.lower()
        vectors = np.zeros((len(texts), self.dim), np.float32)
        for batch in token_batches([len(text) for text in texts], self.choice.budget):
            # By name: a bare string that looks like a path or an address would be opened as an image.
            vectors[batch] = self._vectors([{"text": texts[n]} for n in batch], prompt)
        return normalise(vectors)

    def images(self, images: Sequence[bytes], prompt: str) -> Matrix:
        """Unit vectors of encoded images. Raises `BadInput` for one that does not decode."""
        batches = [
            self._vectors(batch, prompt, processing_kwargs=_WHOLE) for batch in _batches(decoded(images))
        ]
        return normalise(np.concatenate(batches)) if batches else np.zeros((0, self.dim), np.float32)

    def _vectors(self, inputs: Sequence[Any], prompt: str, **options: Any) -> Matrix:
        import torch

        with self._lock:
            features = self._model.preprocess(list(inputs), prompt=prompt or None, **options)
        placed = {name: self._placed(value) for name, value in features.items()}
        with torch.inference_mode():
            return as_array(self._model(placed)["sentence_embedding"])

    def _placed(self, value: Any) -> Any:
        import torch

        if not torch.is_tensor(value):
            return value
        value = value.to(self._model.device)
        return value.to(self._model.dtype) if value.is_floating_point() else value


def _batches(images: Iterator[Image]) -> Iterator[list[Image]]:
    """Images in their order, few enough at a time to hold them decoded."""
    batch: list[Image] = []
    pixels = 0
    for image in images:
        size = image.width * image.height
        if batch and (len(batch) == _BATCH_IMAGES or pixels + size > _BATCH_PIXELS):
            yield batch
            batch, pixels = [], 0
        batch.append(image)
        pixels += size
    if batch:
        yield batch


def _check(model: Any, path: Path, reads: frozenset[str]) -> None:
    lacking = sorted(kind for kind in reads if not model.supports(kind))
    if lacking:
        raise ConfigError(
            f"{path} reads {', '.join(map(str, model.modalities))}, and no {' nor '.join(lacking)}: an image "
            "leg needs a model that puts texts and images into one space, clip-ViT-B-32 for one"
        )


def _transformers(model: Any) -> list[Any]:
    modules: Any = require("sentence_transformers.sentence_transformer.modules", extra="models")
    return [module for module in model.modules() if isinstance(module, modules.Transformer)]


def _type_of(module: Any) -> str | None:
    return getattr(getattr(module, "config", None), "model_type", None)


def _set_length(module: Any) -> None:
    """As many tokens of a text as it can read, and for those that need it never fewer."""
    if module.tokenizer is None:
        return
    positions = getattr(module.config.get_text_config(), "max_position_embeddings", None)
    usual = min(filter(None, (module.max_seq_length, positions)), default=None)
    module.max_seq_length = readable_length(module.auto_model, None, usual)
    if _type_of(module) in _PADDED:
        full = {"padding": "max_length", "max_length": module.max_seq_length}
        module.processing_kwargs = {**(module.processing_kwargs or {}), "text": full}


def _to_bf16(model: Any) -> None:
    import torch

    # Buffers stay: rotary frequencies in bf16 would confuse far positions.
    for parameter in model.parameters():
        if parameter.is_floating_point():
            parameter.data = parameter.data.to(torch.bfloat16)
