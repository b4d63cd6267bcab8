"""Pages made on the spot: drawn images and PDFs, and a short way to read them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont
from pydantic import SecretStr

from rag_plugins.config import OcrConfig
from rag_plugins.errors import BadDocument
from rag_plugins.ingest.documents import find_documents
from rag_plugins.ingest.pages import Page, read_pages
from rag_plugins.ingest.policy import ViewPolicy

LINES = ("The quick brown fox jumps", "over the lazy dog, twice.", "Part number AX-4711 rev 3")


def drawn(lines: tuple[str, ...] = LINES, mode: str = "L", size: tuple[int, int] = (760, 300)) -> Image.Image:
    """Black text on white."""
    image = Image.new("L", size, 255)
    font = ImageFont.load_default(size=40)
    for row, line in enumerate(lines):
        ImageDraw.Draw(image).text((40, 40 + 70 * row), line, font=font, fill=0)
    return image.convert(mode)


def read(
    *paths: Path, passwords: Sequence[str] = (), policy: ViewPolicy | None = None, **settings: object
) -> list[Page | BadDocument]:
    """Everything in these files, pages and failures, in order."""
    found = find_documents(paths)
    config = OcrConfig.model_validate({"workers": 2, **settings})
    pages = read_pages(found.files, config, policy, [SecretStr(password) for password in passwords])
    return [*found.bad, *(page for _, page in pages)]


def page_of(path: Path, **settings: Any) -> Page:
    """The only page."""
    (page,) = read(path, **settings)
    assert isinstance(page, Page), page
    return page


def failure_of(path: Path, **settings: Any) -> BadDocument:
    """The only failure, and nothing else."""
    (failure,) = read(path, **settings)
    assert isinstance(failure, BadDocument), failure
    return failure
