"""What is known about usual models of images, declared as data: see `models/presets.py`."""

from __future__ import annotations

from collections.abc import Mapping

from rag_plugins.models.facts import ImagePreset

__all__ = ["IMAGE_PRESETS"]

_QWEN_QUERY = "Retrieve images or text relevant to the user's query."
_QWEN_IMAGE = "Represent the user's input."
_QWEN_WIDTHS = (256, 512, 1024, 2048)

_IMAGE = (
    ImagePreset("clip-ViT-B-32", "sentence-transformers/clip-ViT-B-32", "not declared", 512),
    ImagePreset("clip-ViT-B-16", "sentence-transformers/clip-ViT-B-16", "not declared", 512),
    ImagePreset("clip-ViT-L-14", "sentence-transformers/clip-ViT-L-14", "not declared", 768),
    # Taught to put texts of 50 languages where clip-ViT-B-32 has the images.
    ImagePreset(
        "clip-ViT-B-32-multilingual-v1",
        "sentence-transformers/clip-ViT-B-32-multilingual-v1",
        "Apache-2.0",
        512,
        images="sentence-transformers/clip-ViT-B-32",
    ),
    ImagePreset("siglip2-base-patch16-224", "google/siglip2-base-patch16-224", "Apache-2.0", 768),
    ImagePreset("siglip2-so400m-patch14-384", "google/siglip2-so400m-patch14-384", "Apache-2.0", 1152),
    # Their authors declare Matryoshka vectors, and name no widths that they are tied to.
    ImagePreset(
        "Qwen3-VL-Embedding-2B",
        "Qwen/Qwen3-VL-Embedding-2B",
        "Apache-2.0",
        2048,
        _QWEN_QUERY,
        _QWEN_IMAGE,
        _QWEN_WIDTHS,
    ),
    ImagePreset(
        "Qwen3-VL-Embedding-8B",
        "Qwen/Qwen3-VL-Embedding-8B",
        "Apache-2.0",
        4096,
        _QWEN_QUERY,
        _QWEN_IMAGE,
        (*_QWEN_WIDTHS, 4096),
    ),
)

IMAGE_PRESETS: Mapping[str, ImagePreset] = {preset.name: preset for preset in _IMAGE}
