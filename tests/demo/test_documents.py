"""The example documents: shipped, small, and what the script renders from their sources."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pypdfium2
import pytest
from PIL import Image, ImageFont, ImageSequence

from rag_plugins.demo.examples import example_documents

SCRIPT = Path(__file__).parents[2] / "examples" / "documents" / "render.py"
PAGES = {
    "bulletin-sb-2019-07.jpg": 1,
    "commissioning-linden-street.jpg": 1,
    "datasheet-pc2.pdf": 2,
    "guide-zh.png": 1,
    "handbook-aq310.tif": 6,
}


def _grey_pages(path: Path) -> list[np.ndarray]:
    with Image.open(path) as image:
        return [np.asarray(frame.convert("L"), dtype=float) for frame in ImageSequence.Iterator(image)]


def _pdf_texts(path: Path) -> list[str]:
    with pypdfium2.PdfDocument(path) as document:
        return [page.get_textpage().get_text_bounded() for page in document]


def test_the_package_carries_about_ten_pages_under_a_megabyte() -> None:
    with example_documents() as folder:
        shipped = {path.name: path for path in folder.iterdir()}
        assert set(shipped) == {*PAGES, "workshop-notes.md"}
        assert sum(path.stat().st_size for path in shipped.values()) < 1_000_000
        for name, count in PAGES.items():
            pages = _pdf_texts if name.endswith(".pdf") else _grey_pages
            assert len(pages(shipped[name])) == count


def test_the_pdf_has_a_text_layer() -> None:
    with example_documents() as folder:
        first, second = _pdf_texts(folder / "datasheet-pc2.pdf")
    assert "Dry running current" in first and "Twin operation" in second


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    for font in ("LiberationSerif-Regular.ttf", "LiberationMono-Regular.ttf", "wqy-zenhei.ttc"):
        try:
            ImageFont.truetype(font, 10)
        except OSError:
            pytest.skip(f"{font} is not installed: apt-get install fonts-liberation fonts-wqy-zenhei")
    folders = (tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two"))
    for folder in folders:
        subprocess.run([sys.executable, str(SCRIPT), "--output", str(folder)], check=True, timeout=60)
    return folders


def test_the_script_gives_the_same_bytes_each_time(rendered: tuple[Path, Path]) -> None:
    one, two = rendered
    assert sorted(path.name for path in one.iterdir()) == sorted(PAGES)
    for path in one.iterdir():
        assert path.read_bytes() == (two / path.name).read_bytes(), path.name


def test_what_is_shipped_is_what_the_script_renders(rendered: tuple[Path, Path]) -> None:
    with example_documents() as folder:
        assert _pdf_texts(rendered[0] / "datasheet-pc2.pdf") == _pdf_texts(folder / "datasheet-pc2.pdf")
        for name in sorted(set(PAGES) - {"datasheet-pc2.pdf"}):
            pages = zip(_grey_pages(rendered[0] / name), _grey_pages(folder / name), strict=True)
            # Another version of Pillow or of a font moves edges by a fraction of a pixel, no more.
            assert all(np.abs(new - old).mean() < 6 for new, old in pages), name
