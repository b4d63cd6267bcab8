"""What a scanner does to a clean page: skew, blur, uneven light, noise, specks, a stamp, few bits."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

PAPER = 246


@dataclass(frozen=True, slots=True)
class Scan:
    """One scanner's faults. Angles in degrees; `noise` is the deviation in grey levels."""

    seed: int
    skew: float = 0.0
    blur: float = 0.6
    noise: float = 6.0
    shade: float = 0.0
    specks: int = 0
    fade: float = 0.0
    turn: int = 0


def degrade(page: Image.Image, scan: Scan) -> Image.Image:
    """The page as the scanner gives it, 8-bit grey; the same seed gives the same pixels."""
    rng = np.random.default_rng(scan.seed)
    page = page.rotate(scan.skew, Image.Resampling.BICUBIC, fillcolor=255)
    page = page.filter(ImageFilter.GaussianBlur(scan.blur))
    grey = np.asarray(page, dtype=np.float64) * (PAPER / 255)
    grey += scan.fade * (PAPER - grey) + _light(grey.shape, scan.shade)
    grey += rng.normal(0.0, scan.noise, grey.shape)
    _specks(grey, scan.specks, rng)
    return Image.fromarray(grey.clip(0, 255).astype(np.uint8)).rotate(scan.turn, expand=True)


def _light(shape: tuple[int, ...], depth: float) -> np.ndarray:
    """Darker towards the right edge and the lower corner, as a book held against the glass."""
    down, across = np.linspace(0, 1, shape[0])[:, None], np.linspace(0, 1, shape[1])[None, :]
    return -depth * (0.7 * across**3 + 0.3 * down * across)


def _specks(grey: np.ndarray, count: int, rng: np.random.Generator) -> None:
    for _ in range(count):
        y, x = rng.integers(0, grey.shape[0] - 4), rng.integers(0, grey.shape[1] - 4)
        height, width = rng.integers(1, 4, 2)
        grey[y : y + height, x : x + width] = rng.integers(20, 120)


def stamp(
    page: Image.Image, lines: Sequence[str], font: ImageFont.FreeTypeFont, at: tuple[int, int]
) -> Image.Image:
    """The page with a tilted rubber stamp, its upper left corner at `at`."""
    step = round(font.size * 1.4)
    width = round(max(font.getlength(line) for line in lines)) + step
    mark = Image.new("L", (width, step * len(lines) + step), 255)
    draw = ImageDraw.Draw(mark)
    draw.rectangle([4, 4, width - 5, mark.height - 5], outline=110, width=6)
    for number, line in enumerate(lines):
        draw.text((width / 2, step * (number + 1)), line, 110, font, anchor="mm")
    mark = mark.rotate(7, Image.Resampling.BICUBIC, expand=True, fillcolor=255)
    stamped = page.copy()
    stamped.paste(mark, at, mark.point([255 - level for level in range(256)]))
    return stamped


def as_jpeg(page: Image.Image, dpi: int, quality: int) -> bytes:
    """One grey page."""
    out = io.BytesIO()
    page.save(out, "JPEG", quality=quality, optimize=True, dpi=(dpi, dpi))
    return out.getvalue()


def as_png(page: Image.Image, dpi: int, levels: int) -> bytes:
    """One page in `levels` even grey levels, the paper's own noise falling into the lightest."""
    step = 256 // levels
    few = page.point([level // step for level in range(256)]).convert("P")
    few.putpalette([round(level * 255 / (levels - 1)) for level in range(levels) for _ in range(3)])
    out = io.BytesIO()
    few.save(out, "PNG", optimize=True, dpi=(dpi, dpi))
    return out.getvalue()


def as_tiff(pages: Sequence[Image.Image], dpi: int, threshold: int = 150) -> bytes:
    """All pages, bilevel, CCITT group 4, as an office scanner sends them."""
    first, *rest = [page.point([0] * threshold + [255] * (256 - threshold), "1") for page in pages]
    out = io.BytesIO()
    first.save(
        out,
        "TIFF",
        save_all=True,
        append_images=rest,
        compression="group4",
        dpi=(dpi, dpi),
        software="render.py",
    )
    return out.getvalue()
