"""Images at the faces: views that go out and come back, pages as multimodal LLMs take them."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from rag_plugins.errors import BadInput, BadPassage, StoreError
from rag_plugins.pictures import page_image
from rag_plugins.types import Assets, Box, EmbedImage, JsonValue, Passage

__all__ = ["IMAGE_VIEWS", "EncodedImage", "encoded_page", "image_views", "image_views_json"]

IMAGE_VIEWS = "image_views"
"""Key, among what the search adds, of the image views that a passage is rebuilt with."""

_ASSET = re.compile(r"[0-9a-f]{64}")
_MIME_TYPES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"RIFF": "image/webp",
}
"""By what a file begins with: the formats that multimodal LLMs read."""


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """An image in base64."""

    mime_type: str
    data: str


def encoded_page(asset: str, assets: Assets | None) -> EncodedImage:
    """An image of the store as multimodal LLMs take it, as PNG where they do not read its format.

    Raises `BadInput` for what is no id or where `assets` is None, `StoreError` where it is absent or damaged.
    """
    if assets is None:
        raise BadInput("got no assets, expected those of an index: give RagIndex.assets, or search again")
    data = assets.get(asset)
    image = page_image(data)
    if image is None:
        raise StoreError(f"asset {asset} is no image that can be decoded: ingest its document again")
    mime_type = next((mime for head, mime in _MIME_TYPES.items() if data.startswith(head)), None)
    if mime_type is None:
        buffer = BytesIO()
        image.save(buffer, "PNG")
        mime_type, data = "image/png", buffer.getvalue()
    return EncodedImage(mime_type, base64.b64encode(data).decode("ascii"))


def image_views_json(passage: Passage) -> list[JsonValue]:
    """The image views of a passage as plain values."""
    return [_json(view) for view in passage.views if isinstance(view, EmbedImage)]


def _json(view: EmbedImage) -> JsonValue:
    box = view.box
    return {"asset": view.asset, "box": box and [box.left, box.top, box.right, box.bottom]}


def image_views(added: object) -> tuple[EmbedImage, ...]:
    """The image views among what an earlier search added to metadata. Raises `BadPassage`."""
    values = added.get(IMAGE_VIEWS, []) if isinstance(added, Mapping) else []
    try:
        return tuple(map(_view, values))
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise BadPassage(
            f"metadata {IMAGE_VIEWS!r}: got {str(values):.100}, expected what a search puts there ({error})"
        ) from error


def _view(value: Mapping[str, Any]) -> EmbedImage:
    asset, box = value["asset"], value.get("box")
    if not _ASSET.fullmatch(asset):
        raise ValueError("an asset is 64 hex digits")
    return EmbedImage(asset, None if box is None else Box(*map(float, box)))
