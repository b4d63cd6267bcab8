"""Images from anywhere, decoded safely."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from rag_plugins.errors import require

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["FORMATS", "MAX_PIXELS", "page_image"]

FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "GIF")
"""No other decoder sees the bytes."""

MAX_PIXELS = 40_000_000
"""The largest page that is decoded or rendered: 120 MB as RGB. A4 at 600 dpi has 35 million."""


def page_image(data: bytes) -> Image | None:
    """A Pillow image in RGB, upright, on white; None for what does not decode or has over 40 megapixels."""
    require("PIL", extra="ocr")
    from PIL import Image, ImageOps

    try:
        image = Image.open(BytesIO(data), formats=FORMATS)
        if image.width * image.height > MAX_PIXELS:  # Before it is decoded.
            return None
        image = ImageOps.exif_transpose(image).convert("RGBA")
    except Exception:  # A damaged image raises whatever it comes to.
        return None
    page = Image.new("RGB", image.size, "white")
    page.paste(image, mask=image.getchannel("A"))
    return page
