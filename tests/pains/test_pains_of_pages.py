"""What users elsewhere report of scans and images, and what happens here.

Each docstring says what happens elsewhere, with a thread that tells of it, and then what does here.
"""

import os
import shutil

import pytest
from both_faces import texts
from faces_support import PLAN, VALVE, dual_index
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from rag_plugins.ingest.ocr import passes
from rag_plugins.types import EmbedText

SCANNED = ("The quick brown fox jumps", "over the lazy dog, twice.", "Part number AX-4711 rev 3")


def manual(path):
    """A PDF: a page with its text, one that is a scan upside down, and one of blots that look like words."""
    scan = Image.new("L", (760, 300), 255)
    for row, line in enumerate(SCANNED):
        ImageDraw.Draw(scan).text((40, 40 + 70 * row), line, font=ImageFont.load_default(size=40), fill=0)
    canvas = Canvas(str(path), pagesize=(400, 300))
    canvas.drawString(50, 250, "Grease the pump every month.")
    canvas.showPage()
    canvas.drawImage(ImageReader(scan.rotate(180)), 10, 75, 380, 150)
    canvas.showPage()
    canvas.drawImage(ImageReader(scan.filter(ImageFilter.GaussianBlur(9))), 10, 75, 380, 150)
    canvas.save()


@pytest.fixture
def tesseract(tmp_path, monkeypatch):
    """The real one behind a script that notes each call's thread limit in the file that this gives."""
    real, folder = shutil.which("tesseract"), tmp_path / "bin"
    folder.mkdir()
    script = f'#!/bin/sh\necho "$OMP_THREAD_LIMIT" >> {folder}/calls\nexec {real} "$@"\n'
    (folder / "tesseract").write_text(script)
    (folder / "tesseract").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    passes._engine.cache_clear()
    yield folder / "calls"
    passes._engine.cache_clear()


def test_ocr_slow_born_digital_pdfs_ocred_rotation_garbage(face, tmp_path, tesseract):
    """docling#1155, #3569: all cores for one page, text layers recognised anew, scans left lying wrong.

    Here a page's own text is taken, a scan is turned, garbage has a low confidence, one thread reads a page.
    """
    manual(tmp_path / "manual.pdf")
    [born, scanned, *garbled] = face.pages(tmp_path / "manual.pdf")
    assert born[0] == "Grease the pump every month."
    assert (born[1]["origin"], born[1].get("confidence")) == ("text-layer", None)
    assert scanned[0].split() == " ".join(SCANNED).split()
    assert scanned[1]["origin"] == "ocr" and scanned[1]["page"] == 2 and scanned[1]["confidence"] > 0.7
    assert scanned[1]["boxes"][0][1] < 0.4, "the first line is at the top of the page as it is read"
    assert all(metadata.get("confidence", 0.0) < 0.5 for _, metadata in garbled)
    assert set(tesseract.read_text().split()) == {"1"}
    tesseract.unlink()
    only = tmp_path / "born.pdf"
    canvas = Canvas(str(only), pagesize=(400, 300))
    canvas.drawString(50, 250, "Grease the pump every month.")
    canvas.save()
    assert face.pages(only)[0][0] == born[0] and not tesseract.exists()


def test_image_nodes_come_back_with_no_text(face, tmp_path):
    """llama_index#13072, byaldi#45: a page that is found by its looks has nothing to read. Here it has."""
    with dual_index(tmp_path / "dual.db") as index:
        for query, text in (("the blue one", PLAN), ("a red one", VALVE)):
            found = face.search(index, query, legs=["image"])
            assert text in texts(found)[:2] and all(each.text.strip() for each in found)
            assert found[0].stages("leg")["image"]["rank"] == 1
        passage = index.search("blue", legs=["image"])[0].passage
        assert not any(isinstance(view, EmbedText) and view.text.strip() for view in passage.views)
        assert PLAN in texts(face.search(index, "shutoff device blue", mode="dual"))
