"""The ways to read a page that reads badly, in turn, until one reads well; the best one counts."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Literal

from PIL import Image, ImageOps, ImageStat

from rag_plugins.config import OcrConfig
from rag_plugins.ingest.ocr.engine import Layout, OcrEngine
from rag_plugins.ingest.ocr.ink import levelled, skew
from rag_plugins.ingest.ocr.limit import time_left, within
from rag_plugins.ingest.ocr.reading import Reading
from rag_plugins.ingest.ocr.rows import in_rows
from rag_plugins.ingest.ocr.scripts import Languages
from rag_plugins.ingest.ocr.tesseract import Tesseract
from rag_plugins.pictures import MAX_PIXELS

__all__ = ["recognise"]

_DARK = 100
"""Mean brightness of 255 below which a page is taken for white on black."""

_SMALL = 18
_TARGET = 30
"""Words lower than the one, in pixels, are read from a page enlarged until they reach the other."""

_MAX_SCALE = 3.0

_TURNS = {
    90: Image.Transpose.ROTATE_270,
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_90,
}
"""Engines count clockwise, Pillow the other way."""

_Pass = Callable[[OcrEngine, Reading], Reading | None]


def recognise(image: Image.Image, config: OcrConfig) -> Reading:
    """Read an image (mode 1, L or RGB). What reads badly is read in other ways, and the best one is kept.

    The reading's image, which its boxes are fractions of, is this one put upright and straight.
    Raises `MissingProgram`, `MissingExtra`, `ConfigError` for a language that is not installed,
    `TimeoutError` where nothing is read within `config.timeout`, `ChildProcessError` where an engine fails
    twice.
    """
    engine, languages = _engine(config.engine, config.languages)
    with within(config.timeout):
        best = _improved(engine, languages.read(image))
    languages.learn(best)
    rows = in_rows(best.paragraphs, best.image.width / best.image.height)
    return replace(best, paragraphs=rows)


def _improved(engine: OcrEngine, best: Reading) -> Reading:
    passes = 1
    for attempt in _PASSES:
        if not best.doubtful:
            break
        try:
            time_left()
            other = attempt(engine, best)
        except OSError:  # Too slow, or killed twice: what is read already is not given up for it.
            break
        passes += other is not None
        if other is not None and other.better(best):
            best = other
    return replace(best, passes=passes)


@lru_cache(maxsize=8)
def _engine(name: str, languages: Literal["auto"] | tuple[str, ...]) -> tuple[OcrEngine, Languages]:
    engine = _ENGINES[name]()
    return engine, Languages(languages, engine)


def _rapid() -> OcrEngine:
    from rag_plugins.ingest.ocr.rapid import Rapid

    return Rapid()


_ENGINES: dict[str, Callable[[], OcrEngine]] = {"tesseract": Tesseract, "rapidocr": _rapid}


def _upright(engine: OcrEngine, best: Reading) -> Reading | None:
    lost = best.lost or best.quality < engine.upright
    turn = _TURNS.get(engine.advice(best.image).turn) if lost else None
    return None if turn is None else engine.read(best.image.transpose(turn), Layout.AUTO, best.languages)


def _straight(engine: OcrEngine, best: Reading) -> Reading | None:
    angle = skew(best.image)
    if not angle:
        return None
    # One bit a pixel would turn into steps.
    image = best.image.convert("L") if best.image.mode == "1" else best.image
    level = image.rotate(angle, Image.Resampling.BICUBIC, expand=True, fillcolor="white")
    return engine.read(level, Layout.AUTO, best.languages)


def _other_layout(engine: OcrEngine, best: Reading, layout: Layout) -> Reading | None:
    return engine.read(best.image, layout, best.languages) if layout in engine.layouts else None


def _block(engine: OcrEngine, best: Reading) -> Reading | None:
    return _other_layout(engine, best, Layout.BLOCK)


def _sparse(engine: OcrEngine, best: Reading) -> Reading | None:
    return _other_layout(engine, best, Layout.SPARSE) if best.lost else None


def _even(engine: OcrEngine, best: Reading) -> Reading | None:
    if best.image.mode == "1":
        return None
    return _instead(engine, best, levelled(best.image))


def _reversed(engine: OcrEngine, best: Reading) -> Reading | None:
    grey = best.image.convert("L")
    dark = ImageStat.Stat(grey).mean[0] < _DARK
    return _instead(engine, best, ImageOps.invert(grey)) if dark else None


def _larger(engine: OcrEngine, best: Reading) -> Reading | None:
    heights = [piece.box.bottom - piece.box.top for piece in best.pieces]
    if not heights:
        return None
    width, height = best.image.size
    scale = min(_TARGET / (statistics.median(heights) * height), _MAX_SCALE)
    if scale < _TARGET / _SMALL or scale**2 * width * height > MAX_PIXELS:
        return None
    size = (round(width * scale), round(height * scale))
    return _instead(engine, best, best.image.convert("L").resize(size, Image.Resampling.LANCZOS))


def _instead(engine: OcrEngine, best: Reading, pixels: Image.Image) -> Reading:
    """What another picture of the same page says of it."""
    layout = Layout.BLOCK if Layout.BLOCK in engine.layouts else Layout.AUTO
    return replace(engine.read(pixels, layout, best.languages), image=best.image)


_PASSES: tuple[_Pass, ...] = (_upright, _straight, _reversed, _block, _even, _larger, _sparse)
