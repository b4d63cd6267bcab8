"""Images: every frame, upright, 8 bits a channel, on white; and their compact form for the asset store."""

from __future__ import annotations

from contextlib import ExitStack
from io import BytesIO
from itertools import count

import numpy as np
from PIL import Image, ImageChops, ImageOps, UnidentifiedImageError

from rag_plugins.config import OcrConfig
from rag_plugins.errors import BadDocument
from rag_plugins.ingest.documents import SourceFile
from rag_plugins.ingest.sheets import STORED_SIDE, Sheet, Sheets, attempt, too_many_pages
from rag_plugins.pictures import FORMATS, MAX_PIXELS

__all__ = ["encode", "image_sheets"]

_STORED_BILEVEL_SIDE = 4000
_SAME_GREY = 8


def image_sheets(file: SourceFile, config: OcrConfig) -> Sheets:
    """One sheet a frame. A frame that cannot be decoded is a `BadDocument`, and the next one is tried."""
    with ExitStack() as held:
        image = attempt(file.source, None, _open, file, held)
        if isinstance(image, BadDocument):
            yield image
            return
        # The further pictures of a phone's JPEG are previews and depth maps, not pages.
        for number in (1,) if image.format == "MPO" else count(1):
            there = attempt(file.source, number, _seek, image, number)
            if there is False:
                return
            if there is True and number > config.max_pages:
                there = too_many_pages(file.source, config.max_pages)
            if isinstance(there, BadDocument):
                yield there
                return
            sheet = attempt(file.source, number, _sheet, image, file, number)
            yield sheet
            # Frames of a TIFF stand by themselves, those of the others build on the ones before.
            if isinstance(sheet, BadDocument) and image.format != "TIFF":
                return


def _open(file: SourceFile, held: ExitStack) -> Image.Image:
    # Given a name, Pillow maps raw TIFFs into memory and scrambles those that are to be turned by 90 degrees.
    data = held.enter_context(open(file.path, "rb"))
    try:
        return held.enter_context(Image.open(data, formats=FORMATS))
    except UnidentifiedImageError as error:
        formats = ", ".join(FORMATS)
        raise BadDocument(file.source, None, f"not a readable image: the formats are {formats}") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadDocument(file.source, None, f"more than {MAX_PIXELS // 10**6} million pixels") from error


def _seek(image: Image.Image, number: int) -> bool:
    try:
        image.seek(number - 1)
    except EOFError:
        return False
    return True


def _sheet(image: Image.Image, file: SourceFile, number: int) -> Sheet:
    _check_size(image, file, number)
    return Sheet(number, _plain(ImageOps.exif_transpose(image)))


def _check_size(image: Image.Image, file: SourceFile, number: int) -> None:
    # Before decoding. Well below the size at which Pillow itself would warn of a bomb.
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise BadDocument(
            file.source, number, f"{width} x {height}: more than {MAX_PIXELS // 10**6} million pixels"
        )


def _plain(image: Image.Image) -> Image.Image:
    """Mode 1, L or RGB, detached from the file."""
    if image.mode.startswith(("I", "F")):
        return _spread(image)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(rgba, mask=rgba.getchannel("A"))
        return white
    return image.copy() if image.mode in ("1", "L", "RGB") else image.convert("RGB")


def _spread(image: Image.Image) -> Image.Image:
    """16-bit, 32-bit and float values: the range that is there becomes 0 to 255."""
    values = np.array(image, dtype=np.float32)
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    if low == high:
        return Image.new("L", image.size, "white")
    # In place: such a page may be 160 MB.
    np.nan_to_num(values, copy=False, nan=high, posinf=high, neginf=low)
    with np.errstate(all="raise", under="ignore"):
        values -= low
        values *= 255 / (high - low)
    return Image.fromarray(values.astype(np.uint8))


def encode(image: Image.Image) -> bytes:
    """PNG or WEBP, whichever is smaller, with `STORED_SIDE` as its longest side at most."""
    if image.mode == "1" and max(image.size) <= _STORED_BILEVEL_SIDE:
        return _saved(image, "PNG")  # Scaling would turn one bit into eight and make it larger.
    small = image.convert("L") if image.mode == "1" else image.copy()
    small.thumbnail((STORED_SIDE, STORED_SIDE), Image.Resampling.LANCZOS, reducing_gap=2.0)
    if _colourless(small):
        small = small.convert("L")
    webp = _saved(small, "WEBP", quality=80, method=2)
    # Many colours mean a photograph, for which PNG is slow and never smaller.
    if small.getcolors(4096) is None:
        return webp
    return min(webp, _saved(small, "PNG"), key=len)


def _colourless(image: Image.Image) -> bool:
    """Whether three channels say the same: black text as RGB is forty times larger as a PNG."""
    if image.mode != "RGB":
        return False
    red, green, blue = image.split()
    differences = (ImageChops.difference(green, other).histogram() for other in (red, blue))
    return not any(sum(counts[_SAME_GREY + 1 :]) for counts in differences)


def _saved(image: Image.Image, form: str, **options: int) -> bytes:
    buffer = BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()
