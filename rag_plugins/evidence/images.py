"""Page images at the size in which people read them on a screen."""

from __future__ import annotations

from io import BytesIO

from rag_plugins.pictures import page_image

__all__ = ["reading_size"]


def reading_size(data: bytes, width: int = 1000) -> bytes | None:
    """An encoded image as WEBP, at most so wide and twice as high; None for what does not decode."""
    image = page_image(data)
    if image is None:
        return None
    image.thumbnail((width, 2 * width))
    out = BytesIO()
    image.save(out, "WEBP", quality=60, method=2)
    return out.getvalue()
