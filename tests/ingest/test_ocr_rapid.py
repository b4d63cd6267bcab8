from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ingest_support import LINES, drawn, page_of

from rag_plugins.config import OcrConfig
from rag_plugins.errors import ConfigError
from rag_plugins.ingest.ocr import recognise

rapid = pytest.importorskip("rag_plugins.ingest.ocr.rapid", exc_type=ImportError)
pytest.importorskip("rapidocr")

CONFIG = OcrConfig(engine="rapidocr")


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was attempted")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def test_words_have_boxes_and_confidences_and_nothing_is_fetched():
    reading = recognise(drawn(), CONFIG)
    assert [piece.text for piece in reading.pieces] == " ".join(LINES).split()
    assert all(0.5 < (piece.confidence or 0) <= 1 for piece in reading.pieces)
    first, last = reading.pieces[0].box, reading.pieces[4].box
    assert first.left == pytest.approx(41 / 760, abs=0.02) and first.right == pytest.approx(
        108 / 760, abs=0.02
    )
    assert last.left == pytest.approx(435 / 760, abs=0.05)
    assert first.top < 49 / 300 < 80 / 300 < first.bottom


@pytest.mark.parametrize("turn", [90, 180])
def test_a_page_that_lies_wrong_is_put_upright(turn: int):
    reading = recognise(drawn().rotate(turn, expand=True, fillcolor=255), CONFIG)
    assert [piece.text for piece in reading.pieces] == " ".join(LINES).split()
    assert reading.image.size == (760, 300)


def test_rows_of_a_table_stay_rows():
    rows = ("Pump               9.50", "Filter               3.00", "Belt               12.00")
    reading = recognise(drawn(rows), CONFIG)
    (table,) = reading.paragraphs
    assert [[piece.text for piece in line] for line in table] == [row.split() for row in rows]


def test_pages_read_at_once_do_not_mix():
    images = [drawn((f"Page number {number}", "has two lines")) for number in range(2)]
    with ThreadPoolExecutor(2) as pool:
        readings = list(pool.map(lambda image: recognise(image, CONFIG), images))
    assert [reading.pieces[2].text for reading in readings] == ["0", "1"]


def test_ingestion_uses_it(tmp_path: Path):
    drawn().save(tmp_path / "page.png")
    assert page_of(tmp_path / "page.png", engine="rapidocr").text == "\n".join(LINES)


def test_an_empty_page_is_empty():
    assert recognise(drawn(()), CONFIG).pieces == []


def test_languages_it_cannot_read_are_an_error():
    with pytest.raises(ConfigError, match=r"RapidOCR has no data for rus; it reads .*chi_sim.*tesseract"):
        recognise(drawn(), OcrConfig(engine="rapidocr", languages=("rus",)))


def test_a_wheel_without_models_is_an_error_and_not_a_download(tmp_path: Path):
    with pytest.raises(ConfigError, match="none is fetched"):
        rapid._bundled(tmp_path)
