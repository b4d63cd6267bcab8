"""Images as models take them: decoded, and processors of images that load without torchvision."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from rag_plugins.errors import BadInput, MissingExtra, require
from rag_plugins.models.backend import first_line
from rag_plugins.models.own_code import linked
from rag_plugins.pictures import page_image

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["decoded", "reads_images", "torchvision_named", "without_videos"]

_PROCESSOR = "processor_config.json"


def decoded(images: Sequence[bytes]) -> Iterator[Image]:
    """Encoded images as Pillow has them, in RGB, one after the other: decoded ones are large.

    Raises `BadInput` with the position of one that does not decode.
    """
    for n, data in enumerate(images, start=1):
        image = page_image(data)
        if image is None:
            raise BadInput(
                f"image {n} of {len(images)} does not decode: expected PNG, JPEG, TIFF, WEBP or GIF of at "
                "most 40 megapixels"
            )
        yield image


@contextmanager
def torchvision_named(path: Path) -> Generator[None]:
    """A model that cannot be loaded for want of torchvision: raises `MissingExtra` with the cure."""
    try:
        yield
    except ImportError as error:
        if "torchvision" not in str(error).lower():
            raise
        torch: Any = require("torch", extra="models")
        raise MissingExtra(
            f"{path}: its processor needs torchvision, which is not installed: install the build for torch "
            f"{torch.__version__}, from where that came from ({first_line(error)})"
        ) from error


def reads_images(path: Path) -> bool:
    """Whether a folder of sentence-transformers holds a model that reads images; loads nothing."""
    return "image" in _json(path / "sentence_bert_config.json").get("modality_config", {})


@contextmanager
def without_videos(path: Path) -> Generator[Path]:
    """The folder, with a processor of text and images where that for videos cannot be loaded.

    transformers has the latter for torchvision alone, though no page needs it.
    """
    config = _json(path / _PROCESSOR)
    name = config.get("processor_class") or _json(path / "preprocessor_config.json").get("processor_class")
    smaller = _without_videos(name) if name and not find_spec("torchvision") else None
    if smaller is None:
        yield path
        return
    kept = {key: value for key, value in config.items() if key != "video_processor"}
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for item in path.iterdir():
            if item.name != _PROCESSOR:
                linked(item.resolve(), folder / item.name)
        (folder / _PROCESSOR).write_text(json.dumps(kept | {"processor_class": smaller}), encoding="utf-8")
        yield folder


@cache
def _without_videos(name: str) -> str | None:
    """The name of a processor class that has no part for videos; None where the class has none anyway."""
    auto: Any = require("transformers.models.auto.processing_auto", extra="models")
    whole = auto.processor_class_from_name(name)
    if whole is None or "video_processor" not in whole.get_attributes():
        return None
    parts = [part for part in whole.get_attributes() if part != "video_processor"]
    smaller = type(f"{name}WithoutVideos", (whole,), {"get_attributes": classmethod(lambda _: parts)})
    # Classes are registered by a configuration; this one is asked for by name.
    key = type(
        f"{name}Key", (require("transformers", extra="models").PreTrainedConfig,), {"model_type": name}
    )
    auto.AutoProcessor.register(key, smaller)
    return smaller.__name__


def _json(file: Path) -> Mapping[str, Any]:
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
