from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from ingest_support import LINES, drawn
from PIL import Image, ImageChops, ImageOps

from rag_plugins.config import OcrConfig
from rag_plugins.ingest.ocr import Advice, Layout, Reading, passes, recognise
from rag_plugins.ingest.text import Lines, Piece
from rag_plugins.types import Box

TEXT = (*LINES, "A fourth line for good measure", "and one more, the fifth of them")


def page() -> Image.Image:
    return drawn(TEXT, size=(760, 420))


def words(reading: Reading) -> list[str]:
    return [piece.text for piece in reading.pieces]


def read(image: Image.Image) -> Reading:
    return recognise(image, OcrConfig())


def test_a_good_page_is_read_once():
    assert read(page()).passes == 1


def test_a_blank_page_is_read_once():
    reading = read(Image.new("L", (600, 800), 255))
    assert (reading.pieces, reading.passes) == ([], 1)


@pytest.mark.parametrize("mode", ["1", "L", "RGB"])
def test_a_crooked_page_is_put_straight_and_boxes_lie_on_the_straight_one(mode: str):
    crooked = page().convert(mode).rotate(-8, expand=True, fillcolor="white")
    reading = read(crooked)
    assert words(reading) == " ".join(TEXT).split()
    assert reading.image.size > crooked.size
    first, last = reading.pieces[0].box, reading.pieces[4].box
    assert first.top == pytest.approx(last.top, abs=0.02)
    ink = ImageOps.invert(reading.image.convert("L")).point(lambda value: 255 * (value > 128))
    around = reading.paragraphs[0][0]
    width, height = reading.image.size
    top = min(piece.box.top for piece in around) * height
    assert ImageChops.invert(ink).crop((0, 0, width, int(top) - 3)).getextrema() == (255, 255)


def test_print_too_faint_beside_a_dark_border_is_made_even():
    faint = page().point(lambda value: 190 + value // 6)
    framed = Image.new("L", (840, 1000), 0)
    framed.paste(Image.new("L", (800, 960), 232), (20, 20))
    framed.paste(faint, (40, 40))
    reading = read(framed)
    assert reading.passes > 1
    assert set(" ".join(TEXT).split()) <= set(words(reading))
    assert reading.image is framed


def test_small_print_is_enlarged_and_the_page_stays_as_it_is():
    small = page().resize((190, 105), Image.Resampling.LANCZOS)
    reading = read(small)
    assert reading.image is small
    assert len(set(words(reading)) & set(" ".join(TEXT).split())) > 12
    assert reading.pieces[0].box.left == pytest.approx(41 / 760, abs=0.03)


class Engine:
    """Reads what it is told to, by layout; `turned` once the page has been turned."""

    name, detects, upright = "engine", True, 0.5
    layouts = frozenset(Layout)
    languages = frozenset({"eng", "deu"})

    def __init__(self, answers: dict[Layout, Lines], turned: Lines | None = None, turn: int = 0) -> None:
        self._answers, self._turned, self._turn = answers, turned, turn
        self.calls: list[Layout] = []

    def read(self, image: Image.Image, layout: Layout, languages: tuple[str, ...]) -> Reading:
        self.calls.append(layout)
        wide = image.width > image.height
        lines = self._turned if self._turned is not None and not wide else self._answers.get(layout, [])
        return Reading(image, [lines] if lines else [], languages)

    def cure(self, languages: object) -> str:
        return "none"

    def advice(self, image: Image.Image) -> Advice:
        return Advice(self._turn)


HALVES = (Box(0, 0, 1, 0.5), Box(0, 0.5, 1, 1))
TOP = Box(0.05, 0.05, 0.95, 0.15)


def lines(text: str, sure: float, *boxes: Box) -> Lines:
    """A line of all the words in each box."""
    return [[Piece(word, box, sure) for word in text.split()] for box in boxes or (TOP,)]


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[Engine], Engine]:
    """`use(engine)`: in Tesseract's place."""

    def put(engine: Engine) -> Engine:
        monkeypatch.setitem(passes._ENGINES, "tesseract", lambda: engine)
        return engine

    passes._engine.cache_clear()
    yield put
    passes._engine.cache_clear()


def test_passes_stop_where_one_reads_well(use: Callable[[Engine], Engine]):
    everything = Box(0, 0, 1, 1)
    engine = use(
        Engine(
            {
                Layout.AUTO: lines("bad bad bad", 0.55),
                Layout.BLOCK: lines("all is well again", 0.95, everything),
            }
        )
    )
    reading = read(page())
    assert words(reading) == ["all", "is", "well", "again"]
    assert engine.calls == [Layout.AUTO, Layout.BLOCK] and reading.passes == 2


def test_more_words_win_only_if_they_are_sure(use: Callable[[Engine], Engine]):
    good = lines("these words are sure and stay", 0.9)
    use(Engine({Layout.AUTO: good, Layout.BLOCK: [*good, *lines("speckle read as words", 0.35)]}))
    assert words(read(page())) == "these words are sure and stay".split()
    passes._engine.cache_clear()
    use(Engine({Layout.AUTO: good, Layout.BLOCK: [*good, *lines("print left out", 0.8)]}))
    assert words(read(page()))[-3:] == ["print", "left", "out"]


def test_noise_in_a_picture_is_not_text(use: Callable[[Engine], Engine]):
    use(Engine({layout: lines("~ i | ;", 0.3) for layout in Layout if layout is not Layout.AUTO}))
    assert words(read(page())) == []


def test_a_pass_that_fails_takes_nothing_away(use: Callable[[Engine], Engine]):
    class Slow(Engine):
        def read(self, image: Image.Image, layout: Layout, languages: tuple[str, ...]) -> Reading:
            if layout is not Layout.AUTO:
                raise TimeoutError("over a second")
            return super().read(image, layout, languages)

    use(Slow({Layout.AUTO: lines("half of it", 0.6)}))
    assert words(read(page())) == ["half", "of", "it"]


def test_a_page_is_turned_as_advised_if_that_reads_better(use: Callable[[Engine], Engine]):
    worse, better = lines("iii jjj lll www", 0.2), lines("it can be read", 0.9, *HALVES)
    engine = use(Engine({Layout.AUTO: worse}, better, turn=90))
    reading = read(page())
    assert words(reading) == 2 * "it can be read".split() and reading.image.size == (420, 760)
    assert engine.calls == [Layout.AUTO, Layout.AUTO]


def test_readings_of_one_page_compare_the_same_whatever_their_order():
    sure = Reading(page(), [lines("sure words", 0.9)])
    unsure = replace(sure, paragraphs=[lines("sure words", 0.4)])
    assert sure.better(unsure) and not unsure.better(sure) and not sure.better(sure)
