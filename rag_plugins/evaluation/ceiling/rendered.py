"""Pages made of texts, printed small and scanned badly: where nobody has scans, recognition errs on these."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from rag_plugins.config import OcrConfig
from rag_plugins.errors import BadDocument, require
from rag_plugins.evaluation.ceiling.noise import Confusions, measure_confusions
from rag_plugins.ingest.documents import find_documents
from rag_plugins.ingest.pages import read_pages

__all__ = ["made_confusions", "made_page", "recognised"]

_PAGES, _LETTERS = 8, 1500
"""Pages made, and characters on each: some hundred errors."""

_LINE, _SIZE, _MARGIN = 75, 22, 60
"""Characters a line; pixels a line of letters is high, and around the text."""


def made_page(text: str, seed: int) -> Any:
    """A greyscale image of the text, blurred, specked and unevenly inked; Latin letters only."""
    image: Any = require("PIL.Image", extra="ocr")
    draw: Any = require("PIL.ImageDraw", extra="ocr")
    filters: Any = require("PIL.ImageFilter", extra="ocr")
    font = require("PIL.ImageFont", extra="ocr").load_default(_SIZE)
    lines = [line for part in text.splitlines() for line in textwrap.wrap(part, _LINE)]
    page = image.new("L", (2 * _MARGIN + _LINE * _SIZE // 2, 2 * _MARGIN + 30 * max(len(lines), 1)), 255)
    draw.Draw(page).multiline_text((_MARGIN, _MARGIN), "\n".join(lines), fill=30, font=font, spacing=6)
    small = page.resize((page.width * 55 // 100, page.height * 55 // 100), image.Resampling.BILINEAR)
    blurred = np.asarray(small.filter(filters.GaussianBlur(0.7)), np.float32)
    specks = np.random.default_rng(seed).normal(0, 20, blurred.shape)
    return image.fromarray(np.clip(blurred + specks, 0, 255).astype(np.uint8))


def made_confusions(texts: Sequence[str], config: OcrConfig) -> Confusions:
    """What is misread on a few pages made of these texts. Raises `MissingExtra`, `MissingProgram`."""
    joined = "\n".join(texts)[: _PAGES * _LETTERS]
    parts = [joined[start : start + _LETTERS] for start in range(0, len(joined), _LETTERS)]
    with TemporaryDirectory() as folder:
        pages = {Path(folder, f"{number}.png"): part for number, part in enumerate(parts)}
        for number, (path, part) in enumerate(pages.items()):
            made_page(part, number).save(path)
        return measure_confusions((pages[path], read) for path, read in recognised([*pages], config).items())


def recognised(paths: Sequence[Path], config: OcrConfig) -> Mapping[Path, str]:
    """The text of each image; those that cannot be read are left out."""
    texts: dict[Path, str] = {}
    for file, page in read_pages(find_documents(paths).files, config):
        if not isinstance(page, BadDocument):
            texts[file.path] = page.text
    return texts
