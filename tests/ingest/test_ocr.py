from __future__ import annotations

import os
import sys
from io import BytesIO
from pathlib import Path

import pytesseract
import pytest
from ingest_support import LINES, drawn, page_of, read
from PIL import Image

from rag_plugins.config import OcrConfig
from rag_plugins.errors import BadDocument, ConfigError, MissingProgram
from rag_plugins.ingest import ocr
from rag_plugins.ingest.pages import Page
from rag_plugins.ingest.text import assemble


def saved(image: Image.Image, path: Path) -> Path:
    image.save(path)
    return path


def fake(folder: Path, body: str) -> str:
    """A program in Tesseract's place."""
    path = folder / "fake-tesseract"
    path.write_text(
        f"#!{sys.executable}\nimport os, sys\nfrom pathlib import Path\nhere = Path({str(folder)!r})\n{body}"
    )
    path.chmod(0o755)
    return str(path)


def test_words_come_with_boxes_lines_and_confidences(tmp_path: Path):
    page = page_of(saved(drawn(), tmp_path / "page.png"))
    assert page.origin == "ocr"
    assert page.text.split() == " ".join(LINES).split()
    assert [page.text[word.start : word.end] for word in page.words] == page.text.split()
    assert [word.line for word in page.words] == [0] * 5 + [1] * 5 + [2] * 5
    assert all(word.confidence is not None and 0.5 < word.confidence <= 1 for word in page.words)
    first, last = page.words[0].box, page.words[4].box
    assert first.left == pytest.approx(40 / 760, abs=0.01)
    assert first.right < last.left < last.right < 1
    assert 40 / 300 < first.top < first.bottom < 95 / 300


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_scan_that_lies_wrong_is_turned_upright(tmp_path: Path, turn: int):
    upright = drawn(
        (*LINES, "A fourth line for good measure", "and one more, the fifth of them"), size=(760, 420)
    )
    page = page_of(saved(upright.rotate(turn, expand=True, fillcolor=255), tmp_path / "turned.png"))
    assert page.text.split()[:10] == " ".join(LINES[:2]).split()
    stored = Image.open(BytesIO(page.image or b""))
    assert stored.size == upright.size
    box = page.words[0].box
    assert (box.left, box.top) == pytest.approx((42 / 760, 49 / 420), abs=0.02)


def test_a_blank_image_and_one_without_text_give_an_empty_page(tmp_path: Path):
    saved(Image.new("L", (400, 300), 255), tmp_path / "a.png")
    saved(Image.linear_gradient("L"), tmp_path / "b.png")
    pages = [page for page in read(tmp_path) if isinstance(page, Page)]
    assert [(page.text, page.words) for page in pages] == [("", ()), ("", ())]


def test_a_language_that_is_not_installed_is_named_with_the_cure():
    with pytest.raises(ConfigError, match=r"no data for tlh; installed are .*eng.*tesseract-ocr-tlh"):
        ocr.recognise(drawn(), OcrConfig(languages=("eng", "tlh")))


@pytest.mark.parametrize("name", ["../eng", "eng -c x=y", "ENG", ""])
def test_languages_are_names_and_nothing_else(name: str):
    with pytest.raises(ValueError, match="languages"):
        OcrConfig(languages=(name,))


def test_a_missing_tesseract_stops_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(pytesseract.pytesseract, "tesseract_cmd", str(tmp_path / "none"))
    ocr.installed_languages.cache_clear()
    ocr._check_languages.cache_clear()
    with pytest.raises(MissingProgram, match="apt-get install tesseract-ocr"):
        read(saved(drawn(), tmp_path / "page.png"))


def test_text_needs_no_tesseract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pytesseract.pytesseract, "tesseract_cmd", str(tmp_path / "none"))
    (tmp_path / "note.txt").write_text("plain")
    assert page_of(tmp_path / "note.txt").text == "plain"


def test_a_hanging_tesseract_is_tried_twice_and_fails_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    ocr._check_languages(("eng",))
    body = "import time\n(here / f'ran{os.getpid()}').touch()\ntime.sleep(30)\n"
    monkeypatch.setattr(pytesseract.pytesseract, "tesseract_cmd", fake(tmp_path, body))
    path = saved(drawn(), tmp_path / "page.png")
    (tmp_path / "note.txt").write_text("goes on")
    note, failure = read(tmp_path / "note.txt", path, timeout=1.0)
    assert isinstance(note, Page)
    assert isinstance(failure, BadDocument) and failure.page == 1
    assert "over 1 s, twice" in failure.reason and "TimeoutError" in failure.reason
    assert len(list(tmp_path.glob("ran*"))) == 2


def test_a_tesseract_that_dies_once_is_forgiven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    ocr._check_languages(("eng",))
    real = pytesseract.pytesseract.tesseract_cmd
    body = (
        "if not (here / 'died').exists():\n    (here / 'died').touch()\n    os.kill(os.getpid(), 9)\n"
        f"os.execvp({real!r}, [{real!r}, *sys.argv[1:]])\n"
    )
    monkeypatch.setattr(pytesseract.pytesseract, "tesseract_cmd", fake(tmp_path, body))
    assert page_of(saved(drawn(), tmp_path / "page.png")).text.split() == " ".join(LINES).split()
    assert (tmp_path / "died").exists()


def test_tesseract_runs_on_one_thread_and_this_process_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    ocr._check_languages(("eng",))
    body = "(here / 'limit').write_text(os.environ['OMP_THREAD_LIMIT'] + os.environ['SEEN'])\nsys.exit(1)\n"
    monkeypatch.setattr(pytesseract.pytesseract, "tesseract_cmd", fake(tmp_path, body))
    monkeypatch.delenv("OMP_THREAD_LIMIT", raising=False)
    monkeypatch.setenv("SEEN", " yes")  # The rest of the environment is passed on as it is now.
    read(saved(drawn(), tmp_path / "page.png"))
    assert (tmp_path / "limit").read_text() == "1 yes"
    assert "OMP_THREAD_LIMIT" not in os.environ


def test_chinese_characters_are_joined_without_spaces():
    table = "\n".join(
        f"5\t1\t1\t1\t1\t{place}\t{20 * place}\t0\t20\t20\t9{place}\t{text}"
        for place, text in enumerate("设 备 手册 ， AX-4711".split())
    )
    paragraphs = ocr._paragraphs(table, 200, 100)
    text, words = assemble(paragraphs)
    assert text == "设备手册， AX-4711"
    assert [text[word.start : word.end] for word in words] == ["设", "备", "手册", "，", "AX-4711"]
