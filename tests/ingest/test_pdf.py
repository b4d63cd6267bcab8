from __future__ import annotations

import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from ingest_support import LINES, drawn, failure_of, page_of, read
from PIL import Image
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas

from rag_plugins.config import OcrConfig
from rag_plugins.errors import BadDocument
from rag_plugins.ingest import ocr
from rag_plugins.ingest.pages import Page

Make = Callable[..., Path]


def lines(*texts: str, left: float = 50, top: float = 250, step: float = 14) -> Callable[[Canvas], None]:
    def draw(canvas: Canvas) -> None:
        for row, text in enumerate(texts):
            canvas.drawString(left, top - row * step, text)

    return draw


def ink(page: Page, word: int) -> float:
    """Share of dark pixels within a word's box on the stored page image."""
    assert page.image is not None
    image = Image.open(BytesIO(page.image)).convert("L")
    box = page.words[word].box
    width, height = image.size
    part = image.crop(
        (
            int(box.left * width),
            int(box.top * height),
            int(box.right * width) + 1,
            int(box.bottom * height) + 1,
        )
    )
    return float((np.asarray(part) < 140).mean())


def test_a_text_layer_is_taken_as_it_is(pdf: Make):
    page = page_of(pdf(lines("Born-digital text is exact.", "Second line: 12.50 EUR")))
    assert page.origin == "text-layer"
    assert page.text == "Born-digital text is exact.\nSecond line: 12.50 EUR"
    assert [page.text[word.start : word.end] for word in page.words] == page.text.split()
    assert [word.line for word in page.words] == [0, 0, 0, 0, 1, 1, 1, 1]
    assert all(word.confidence is None for word in page.words)


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_boxes_lie_on_the_words_of_the_page_as_it_is_shown(pdf: Make, turn: int):
    def draw(canvas: Canvas) -> None:
        canvas.setPageRotation(turn)
        canvas.setFont("Helvetica-Bold", 30)
        canvas.drawString(50, 200, "LEFT")
        canvas.drawString(130, 60, "RIGHT")

    page = page_of(pdf(draw))
    assert sorted(page.text.split()) == ["LEFT", "RIGHT"]
    assert all(ink(page, word) > 0.3 for word in range(2))
    box = page.words[0].box
    assert ((box.right - box.left) * 400 > (box.bottom - box.top) * 300) == (turn in (0, 180))
    if turn == 0:
        assert (box.left, box.bottom) == pytest.approx((50 / 400, 100 / 300), abs=0.01)


def test_what_is_cropped_away_is_not_read(pdf: Make):
    def draw(canvas: Canvas) -> None:
        canvas.setCropBox((0, 100, 400, 300))
        lines("Shown here.")(canvas)
        lines("Printer's mark", top=50)(canvas)

    page = page_of(pdf(draw))
    assert page.text == "Shown here."
    assert page.words[0].box.bottom == pytest.approx(50 / 200, abs=0.02)


def test_hyphenated_words_stay_as_they_stand_on_the_page(pdf: Make):
    page = page_of(pdf(lines("A well-known hyphen-", "ated word.")))
    assert page.text == "A well-known hyphen-\nated word."


def test_a_gap_between_lines_is_a_paragraph(pdf: Make):
    def draw(canvas: Canvas) -> None:
        lines("First paragraph,", "two lines.")(canvas)
        lines("Another one.", top=190)(canvas)

    assert page_of(pdf(draw)).text == "First paragraph,\ntwo lines.\n\nAnother one."


def test_columns_are_read_one_after_the_other(pdf: Make):
    def draw(canvas: Canvas) -> None:
        lines(*(f"left {row}" for row in range(8)))(canvas)
        lines(*(f"right {row}" for row in range(8)), left=220)(canvas)

    words = page_of(pdf(draw)).text.split()
    assert words[::2] == ["left"] * 8 + ["right"] * 8


def test_lines_written_without_order_are_read_from_the_top(pdf: Make):
    order = [7, 2, 9, 0, 5, 3, 8, 1, 6, 4]

    def draw(canvas: Canvas) -> None:
        for row in order:
            canvas.drawString(200, 280 - 20 * row, f"end{row}")
            canvas.drawString(50, 280 - 20 * row, f"start{row}")

    assert page_of(pdf(draw)).text.split() == [
        f"{part}{row}" for row in range(10) for part in ("start", "end")
    ]


def test_chinese_text_has_no_spaces_and_a_box_for_each_character(pdf: Make):
    pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))

    def draw(canvas: Canvas) -> None:
        canvas.setFont("STSong-Light", 20)
        lines("设备手册，第三版。", "型号 AX-4711", step=24)(canvas)

    page = page_of(pdf(draw))
    assert page.text == "设备手册，第三版。\n型号 AX-4711"
    assert [page.text[word.start : word.end] for word in page.words] == [*"设备手册，第三版。型号", "AX-4711"]


def test_what_was_typed_into_a_form_is_read(pdf: Make):
    def draw(canvas: Canvas) -> None:
        lines("Name:")(canvas)
        canvas.acroForm.textfield(name="name", value="Ada Lovelace", x=50, y=150, width=200, height=24)

    page = page_of(pdf(draw))
    assert page.text.split() == ["Name:", "Ada", "Lovelace"]
    assert ink(page, 1) > 0.05


def placed(image: Image.Image) -> Callable[[Canvas], None]:
    return lambda canvas: canvas.drawImage(ImageReader(image), 0, 0, 400, 300)


def test_a_scan_in_a_pdf_is_recognised(pdf: Make):
    page = page_of(pdf(placed(drawn(size=(760, 570)))))
    assert page.origin == "ocr"
    assert page.text.split("\n") == list(LINES)
    assert all(word.confidence and word.confidence > 0.5 for word in page.words)
    assert all(ink(page, word) > 0.1 for word in range(5))


def test_a_stamp_on_a_scan_is_not_its_text_layer(pdf: Make):
    def draw(canvas: Canvas) -> None:
        placed(drawn(size=(760, 570)))(canvas)
        lines("Downloaded on Monday", top=20)(canvas)

    page = page_of(pdf(draw))
    assert page.origin == "ocr"
    assert LINES[0] in page.text


def test_pages_with_and_without_text_are_read_in_order(pdf: Make):
    def draw(canvas: Canvas) -> None:
        for number, letter in enumerate("ABC"):
            lines(f"Page {number} as text")(canvas)
            canvas.showPage()
            placed(drawn((f"Plate {letter} as a picture",), size=(760, 570)))(canvas)
            canvas.showPage()

    pages = [page for page in read(pdf(draw)) if isinstance(page, Page)]
    assert [page.number for page in pages] == [1, 2, 3, 4, 5, 6]
    assert [page.origin for page in pages] == ["text-layer", "ocr"] * 3
    assert [page.text for page in pages[:2]] == ["Page 0 as text", "Plate A as a picture"]


def test_a_blank_page_is_an_empty_page(pdf: Make):
    page = page_of(pdf(lambda canvas: canvas.showPage()))
    assert (page.text, page.words) == ("", ())
    assert page.image


def test_a_locked_pdf_is_refused_and_says_why(pdf: Make):
    failure = failure_of(pdf(lines("secret"), encrypt=StandardEncryption("open sesame")))
    assert failure.page is None
    assert failure.reason.startswith("encrypted: give its password (ingest.passwords, --password)")


@pytest.mark.parametrize("strength", [40, 128])
@pytest.mark.parametrize("password", ["open sesame", "Geheimnis für Ödön"])
def test_passwords_are_tried_in_turn(pdf: Make, strength: int, password: str):
    path = pdf(lines("Opened."), encrypt=StandardEncryption(password, "owner's", strength=strength))
    (page,) = read(path, passwords=["wrong", "", password])
    assert isinstance(page, Page) and page.text == "Opened."


def test_wrong_passwords_are_refused_and_never_shown(pdf: Make):
    path = pdf(lines("secret"), encrypt=StandardEncryption("open sesame"))
    failure = failure_of(path, passwords=["canary-1", "canary-2"])
    assert failure.reason == "encrypted, and no password given opens it (ingest.passwords, --password)"
    told = "".join(traceback.format_exception(failure)) + repr(failure)
    assert "canary" not in told


def test_a_pdf_that_only_its_owner_may_change_is_read(pdf: Make):
    path = pdf(lines("Readable by all."), encrypt=StandardEncryption("", ownerPassword="mine"))
    assert page_of(path).text == "Readable by all."


def test_pages_after_the_limit_are_reported_once(pdf: Make):
    def draw(canvas: Canvas) -> None:
        for number in range(5):
            lines(f"page {number}")(canvas)
            canvas.showPage()

    *pages, failure = read(pdf(draw), max_pages=2)
    assert [page.text for page in pages if isinstance(page, Page)] == ["page 0", "page 1"]
    assert isinstance(failure, BadDocument) and failure.page == 3


def test_a_large_page_is_rendered_with_fewer_pixels(pdf: Make, monkeypatch: pytest.MonkeyPatch):
    sizes: list[tuple[int, int]] = []

    def recognise(image: Image.Image, config: OcrConfig) -> ocr.Reading:
        sizes.append(image.size)
        return ocr.Reading(image, [])

    monkeypatch.setattr(ocr, "recognise", recognise)
    page_of(pdf(lambda canvas: canvas.showPage(), size=(4000, 3000)))
    ((width, height),) = sizes
    assert 31e6 < width * height <= 32.1e6


@pytest.mark.parametrize("size", [(1_000_000, 1_000_000), (10_000_000, 1)])
def test_an_absurd_page_is_refused_before_it_is_rendered(pdf: Make, size: tuple[float, float]):
    failure = failure_of(pdf(lines("x"), size=size))
    assert failure.page == 1
    assert "inches is too large" in failure.reason


def test_pdfs_may_be_read_from_several_threads_at_once(pdf: Make):
    def draw(canvas: Canvas) -> None:
        for number in range(8):
            lines(*(f"line {row} of page {number}" for row in range(15)))(canvas)
            canvas.showPage()

    path = pdf(draw)
    with ThreadPoolExecutor(4) as threads:
        several = list(threads.map(read, [path] * 4))
    assert len(several[0]) == 8
    assert all(pages == several[0] for pages in several)


def test_a_damaged_pdf_is_refused(pdf: Make):
    path = pdf(lines("whole"))
    path.write_bytes(b"%PDF-1.7\n" + b"garbage " * 50)
    assert failure_of(path).reason.startswith("not a readable PDF")
