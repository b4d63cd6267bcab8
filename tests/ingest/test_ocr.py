from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import TypeVar

import pytest
from ingest_support import LINES, drawn, failure_of, page_of, read
from PIL import Image

from rag_plugins.config import OcrConfig
from rag_plugins.errors import BadDocument, ConfigError, MissingProgram
from rag_plugins.evaluation.ceiling.rendered import made_page
from rag_plugins.ingest import ocr
from rag_plugins.ingest.ocr import passes, tesseract
from rag_plugins.ingest.pages import Page
from rag_plugins.ingest.text import assemble

T = TypeVar("T")


def saved(image: Image.Image, path: Path) -> Path:
    image.save(path)
    return path


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """What is known of Tesseract is forgotten: tests put others in its place."""
    forget()
    yield
    forget()


def forget() -> None:
    ocr.installed_languages.cache_clear()
    passes._engine.cache_clear()


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """`fake(body)`: a program in Tesseract's place, which says what is installed and else does this."""

    def make(body: str) -> Path:
        folder = tmp_path / "bin"
        folder.mkdir()
        path = folder / "tesseract"
        path.write_text(
            f"#!{sys.executable}\nimport os, sys\nfrom pathlib import Path\nhere = Path({str(folder)!r})\n"
            f"if '--list-langs' in sys.argv:\n    print('List of languages:\\neng')\n    sys.exit()\n{body}"
        )
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        return folder

    return make


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


def test_a_strip_of_one_line_is_read(tmp_path: Path):
    """As if it were of a page, Tesseract would throw it away."""
    line = made_page("Change the dust filter every month; a dust filter is cheap.", 2)
    assert {"Change", "dust", "every"} <= set(page_of(saved(line, tmp_path / "line.png")).text.split())


def test_a_language_that_is_not_installed_is_named_with_the_cure():
    with pytest.raises(ConfigError, match=r"no data for tlh; it reads .*eng.*tesseract-ocr-tlh"):
        ocr.recognise(drawn(), OcrConfig(languages=("eng", "tlh")))


@pytest.mark.parametrize("name", ["../eng", "eng -c x=y", "ENG", ""])
def test_languages_are_names_and_nothing_else(name: str):
    with pytest.raises(ValueError, match="languages"):
        OcrConfig(languages=(name,))


def test_a_missing_tesseract_stops_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    with pytest.raises(MissingProgram, match="apt-get install tesseract-ocr"):
        read(saved(drawn(), tmp_path / "page.png"))


def test_text_needs_no_tesseract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    (tmp_path / "note.txt").write_text("plain")
    assert page_of(tmp_path / "note.txt").text == "plain"


def test_a_hanging_tesseract_fails_in_the_time_of_a_page(tmp_path: Path, fake: Callable[[str], Path]):
    here = fake("import time\n(here / f'ran{os.getpid()}').touch()\ntime.sleep(30)\n")
    path = saved(drawn(), tmp_path / "page.png")
    (tmp_path / "note.txt").write_text("goes on")
    start = time.monotonic()
    note, failure = read(tmp_path / "note.txt", path, timeout=1.0)
    assert 1.0 <= time.monotonic() - start < 8.0
    assert isinstance(note, Page)
    assert isinstance(failure, BadDocument) and failure.page == 1
    assert "takes longer than a page may (ocr.timeout)" in failure.reason
    (ran,) = (int(path.name[3:]) for path in here.glob("ran*"))
    assert not alive(ran)


def test_what_was_read_in_time_is_kept(tmp_path: Path, fake: Callable[[str], Path]):
    table = "\\t".join(["5", "1", "1", "1", "1", "1", "40", "40", "80", "40", "60", "half"])
    fake(
        "import time\nif sys.argv[-1] == 'tessedit_create_tsv=1' and '3' in sys.argv:\n"
        f"    print('{table}')\n"
        "else:\n    time.sleep(30)\n"
    )
    start = time.monotonic()
    page = page_of(saved(drawn(), tmp_path / "page.png"), timeout=1.0)
    assert page.text == "half" and time.monotonic() - start < 8.0


def alive(process: int) -> bool:
    return Path(f"/proc/{process}/stat").exists() and " Z " not in Path(f"/proc/{process}/stat").read_text()


def test_a_tesseract_that_dies_once_is_forgiven(tmp_path: Path, fake: Callable[[str], Path]):
    real = shutil.which("tesseract")
    here = fake(
        "if not (here / 'died').exists():\n    (here / 'died').touch()\n    os.kill(os.getpid(), 9)\n"
        f"os.execvp({real!r}, [{real!r}, *sys.argv[1:]])\n"
    )
    assert page_of(saved(drawn(), tmp_path / "page.png")).text.split() == " ".join(LINES).split()
    assert (here / "died").exists()


def test_a_tesseract_that_fails_says_how(tmp_path: Path, fake: Callable[[str], Path]):
    fake("print('data for eng are broken', file=sys.stderr)\nsys.exit(3)\n")
    failure = failure_of(saved(drawn(), tmp_path / "page.png"))
    assert "status 3" in failure.reason and "data for eng are broken" in failure.reason


def test_tesseract_runs_on_one_thread_and_this_process_does_not(
    tmp_path: Path, fake: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
):
    here = fake(
        "(here / 'limit').write_text(os.environ['OMP_THREAD_LIMIT'] + os.environ['SEEN'])\nsys.exit(1)\n"
    )
    monkeypatch.delenv("OMP_THREAD_LIMIT", raising=False)
    monkeypatch.setenv("SEEN", " yes")  # The rest of the environment is passed on as it is now.
    read(saved(drawn(), tmp_path / "page.png"))
    assert (here / "limit").read_text() == "1 yes"
    assert "OMP_THREAD_LIMIT" not in os.environ


def test_tesseract_is_given_pixels_and_leaves_no_files(tmp_path: Path, fake: Callable[[str], Path]):
    here = fake("(here / 'given').write_bytes(sys.stdin.buffer.read(2) + ' '.join(sys.argv).encode())\n")
    kept = tmp_path / "kept"
    kept.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(kept))
        read(saved(drawn(), tmp_path / "page.png"))
    given = (here / "given").read_bytes()
    assert given.startswith(b"P5") and str(tmp_path / "page.png").encode() not in given
    assert not list(kept.iterdir())


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="the system cannot tie a process to its parent")
def test_tesseract_ends_when_its_parent_is_killed(tmp_path: Path, fake: Callable[[str], Path]):
    here = fake("import time\n(here / f'ran{os.getpid()}').touch()\ntime.sleep(60)\n")
    path = saved(drawn(), tmp_path / "page.png")
    code = (
        "import sys; from PIL import Image; from rag_plugins.config import OcrConfig;"
        "from rag_plugins.ingest.ocr import recognise; recognise(Image.open(sys.argv[1]), OcrConfig())"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(path)])
    child = until(lambda: [int(path.name[3:]) for path in here.glob("ran*")])[0]
    parent.kill()
    parent.wait()
    assert until(lambda: not alive(child))


def until(seen: Callable[[], T], seconds: float = 20.0) -> T:
    """What is seen, once it is something."""
    end = time.monotonic() + seconds
    while not (found := seen()) and time.monotonic() < end:
        time.sleep(0.02)
    return found


def recognised(*words: tuple[int, str]) -> str:
    """The text of one line of words from these places on, 20 pixels a character."""
    table = "\n".join(
        f"5\t1\t1\t1\t1\t{number}\t{left}\t0\t{20 * len(text)}\t20\t90\t{text}"
        for number, (left, text) in enumerate(words)
    )
    return assemble(tesseract._paragraphs(table, 400, 100))[0]


def test_chinese_characters_are_joined_and_cells_are_not():
    assert (
        recognised((0, "设"), (22, "备"), (45, "手册"), (85, "，"), (106, "AX-4711")) == "设备手册，AX-4711"
    )
    assert recognised((0, "型号"), (52, "AX-4711")) == "型号 AX-4711"
    assert recognised((0, "设备"), (120, "手册")) == "设备 手册"


def test_marks_beside_chinese_are_wide_and_others_are_not():
    assert recognised((0, "手册(第"), (80, "三"), (100, "版),第")) == "手册（第三版），第"
    assert recognised((0, "pump(s),"), (200, "10:30")) == "pump(s), 10:30"
