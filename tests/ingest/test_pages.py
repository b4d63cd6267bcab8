from __future__ import annotations

import gc
import random
import threading
import time
from pathlib import Path

import docx
import pytest
from ingest_support import drawn, failure_of, page_of, read
from PIL import Image
from reportlab.pdfgen.canvas import Canvas

from rag_plugins.config import OcrConfig
from rag_plugins.errors import BadDocument
from rag_plugins.ingest import ocr
from rag_plugins.ingest.documents import KINDS, find_documents
from rag_plugins.ingest.pages import Page, read_pages

SUFFIXES = tuple(KINDS)


def whole(path: Path) -> bytes:
    """A sound file of this suffix, large enough that half of it is not sound."""
    kind = KINDS[path.suffix]
    if kind == "image":
        Image.effect_noise((200, 200), 80).save(path)
    elif kind == "pdf":
        canvas = Canvas(str(path))
        canvas.drawString(50, 50, "sound")
        canvas.save()
    elif kind == "docx":
        document = docx.Document()
        document.add_paragraph("sound")
        document.save(str(path))
    else:
        path.write_text("sound text é")
    return path.read_bytes()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_empty_file_is_one_failure(tmp_path: Path, suffix: str):
    path = tmp_path / f"empty{suffix}"
    path.touch()
    assert failure_of(path).reason == "the file is empty"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_random_bytes_are_one_failure(tmp_path: Path, suffix: str):
    path = tmp_path / f"random{suffix}"
    path.write_bytes(random.Random(7).randbytes(5000))
    failure = failure_of(path)
    assert failure.file == path.as_posix()
    assert failure.reason.startswith("not ")
    assert "0x" not in failure.reason


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_truncated_file_is_one_failure(tmp_path: Path, suffix: str):
    path = tmp_path / f"cut{suffix}"
    data = whole(path)
    path.write_bytes(data[:-1] if KINDS[suffix] in ("text", "html", "markdown") else data[: len(data) // 2])
    assert len(failure_of(path).reason) < 200


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_bytes_damaged_anywhere_never_escape_as_anything_else(tmp_path: Path, suffix: str):
    sound = whole(tmp_path / f"sound{suffix}")
    chance = random.Random(suffix)
    for number in range(12):
        data = bytearray(sound)
        for _ in range(chance.randint(1, 12)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        (tmp_path / f"damaged{number}{suffix}").write_bytes(data)
    files = find_documents([tmp_path]).files
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ocr, "recognise", lambda image, config: ocr.Reading(image, []))
        seen = {file.path for file, _ in read_pages(files, OcrConfig())}
    assert seen == {file.path for file in files}


def test_bad_files_do_not_stop_the_good_ones(tmp_path: Path):
    (tmp_path / "1.txt").write_text("first")
    (tmp_path / "2.png").write_bytes(b"nothing")
    drawn(("Third is a scan",)).save(tmp_path / "3.png")
    (tmp_path / "4.pdf").write_bytes(b"")
    (tmp_path / "5.md").write_text("# fifth")
    assert [page.text if isinstance(page, Page) else page.reason[:12] for page in read(tmp_path)] == [
        "first",
        "not a readab",
        "Third is a scan",
        "the file is ",
        "# fifth",
    ]


def test_a_file_that_went_away_is_one_failure(tmp_path: Path):
    (tmp_path / "gone.txt").write_text("x")
    files = find_documents([tmp_path]).files
    (tmp_path / "gone.txt").unlink()
    ((file, failure),) = read_pages(files, OcrConfig())
    assert file == files[0]
    assert isinstance(failure, BadDocument) and "No such file" in failure.reason


def test_text_is_one_page_as_it_stands(tmp_path: Path):
    (tmp_path / "note.txt").write_bytes(b"\xef\xbb\xbfOne\r\ntwo\x00 \xe2\x80\xa8three\rfour\n")
    page = page_of(tmp_path / "note.txt")
    assert page == Page(1, "One\ntwo \nthree\nfour\n", (), None, "text", removed=1)


def test_form_feeds_part_pages_and_blank_ones_keep_their_number(tmp_path: Path):
    (tmp_path / "book.txt").write_text("one\f\n\fthree")
    assert [(page.number, page.text) for page in read(tmp_path) if isinstance(page, Page)] == [
        (1, "one"),
        (3, "three"),
    ]


def test_utf16_with_its_mark_is_read_and_other_codings_are_named(tmp_path: Path):
    (tmp_path / "wide.txt").write_text("naïve", encoding="utf-16")
    assert page_of(tmp_path / "wide.txt").text == "naïve"
    (tmp_path / "latin.txt").write_text("naïve", encoding="latin-1")
    assert failure_of(tmp_path / "latin.txt").reason == "not utf-8 text (byte 2): save the file as UTF-8"


def test_text_of_nothing_but_control_characters_is_a_failure(tmp_path: Path):
    (tmp_path / "nul.txt").write_bytes(bytes(100))
    assert failure_of(tmp_path / "nul.txt").reason == "the file holds no text"


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    for number in range(12):
        Image.new("L", (300, 200), 255).save(tmp_path / f"{number:02}.png")
    return tmp_path


def slow(log: list[str], wait: float) -> object:
    def recognise(image: Image.Image, config: OcrConfig) -> ocr.Reading:
        log.append(threading.current_thread().name)
        time.sleep(wait)
        return ocr.Reading(image, [])

    return recognise


def test_recognition_runs_on_as_many_workers_as_are_set(scans: Path, monkeypatch: pytest.MonkeyPatch):
    log: list[str] = []
    monkeypatch.setattr(ocr, "recognise", slow(log, 0.1))
    assert len(read(scans, workers=3)) == 12
    assert len(set(log)) == 3


def test_reading_runs_ahead_but_not_far(scans: Path, monkeypatch: pytest.MonkeyPatch):
    log: list[str] = []
    monkeypatch.setattr(ocr, "recognise", slow(log, 0.0))
    pages = read_pages(find_documents([scans]).files, OcrConfig(workers=2))
    next(pages)
    time.sleep(0.2)
    assert 1 < len(log) <= 5
    pages.close()


def test_large_pages_are_not_decoded_far_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for number in range(6):
        Image.new("1", (6000, 6000)).save(tmp_path / f"{number}.png")
    log: list[str] = []
    monkeypatch.setattr(ocr, "recognise", slow(log, 0.3))
    pages = read_pages(find_documents([tmp_path]).files, OcrConfig(workers=6))
    next(pages)
    assert len(log) <= 4
    pages.close()


def test_closing_early_drops_what_waits_and_leaves_nothing_behind(
    scans: Path, monkeypatch: pytest.MonkeyPatch
):
    log: list[str] = []
    monkeypatch.setattr(ocr, "recognise", slow(log, 0.05))
    pages = read_pages(find_documents([scans]).files, OcrConfig(workers=2))
    next(pages)
    pages.close()
    started = len(log)
    time.sleep(0.2)
    gc.collect()
    assert len(log) == started < 12
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ocr")]


def test_one_tesseract_error_is_one_bad_page(scans: Path, monkeypatch: pytest.MonkeyPatch):
    def recognise(image: Image.Image, config: OcrConfig) -> ocr.Reading:
        raise RuntimeError("odd \n weather")

    monkeypatch.setattr(ocr, "recognise", recognise)
    failures = read(scans)
    assert len(failures) == 12
    assert all(
        isinstance(failure, BadDocument)
        and (failure.page, failure.reason) == (1, "cannot be read: odd weather (RuntimeError)")
        for failure in failures
    )
