from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from PIL import Image, ImageDraw, ImageFont

from rag_plugins.ingest.figures import figures, is_blank
from rag_plugins.types import Box, Word

WIDTH, HEIGHT = 1240, 1754
FONT = ImageFont.load_default(size=24)
LINE = "The quick brown fox jumps over the lazy dog and runs away from the pump"


class Sheet:
    """An A4 page at 150 dpi, and the words written on it."""

    def __init__(self, paper: int = 245, size: tuple[int, int] = (WIDTH, HEIGHT)) -> None:
        self.image = Image.new("L", size, paper)
        self.draw = ImageDraw.Draw(self.image)
        self.words: list[Word] = []

    def write(self, left: float, top: float, text: str, confidence: float | None = 0.9) -> None:
        width, height = self.image.size
        for word in text.split():
            x0, y0, x1, y1 = self.draw.textbbox((left, top), word, font=FONT)
            self.draw.text((left, top), word, font=FONT, fill=10)
            box = Box(x0 / width, y0 / height, x1 / width, y1 / height)
            self.words.append(Word(0, 1, 0, box, confidence))
            left = x1 + 8

    def paragraph(self, top: float, lines: int) -> None:
        for number in range(lines):
            self.write(120, top + 34 * number, LINE)

    def figures(self) -> tuple[Box, ...]:
        return figures(self.image, self.words)


def bars(sheet: Sheet) -> None:
    sheet.draw.line((300, 600, 300, 1100, 1000, 1100), fill=0, width=3)
    for number in range(6):
        left = 340 + number * 100
        sheet.draw.rectangle((left, 1100 - 50 * (number + 2), left + 60, 1100), fill=90)
    sheet.write(320, 1120, "2017 2018 2019 2020 2021 2022")
    sheet.write(450, 560, "Revenue in EUR")


def curve(sheet: Sheet) -> None:
    sheet.draw.line((300, 600, 300, 1100, 1000, 1100), fill=0, width=2)
    chance = random.Random(3)
    sheet.draw.line([(300 + 14 * x, 1100 - chance.randint(50, 480)) for x in range(50)], fill=60, width=2)


def photograph(sheet: Sheet) -> None:
    sheet.image.paste(Image.effect_noise((700, 500), 60), (300, 600))


def diagram(sheet: Sheet) -> None:
    for left in (300, 660):
        for top in (600, 950):
            sheet.draw.rectangle((left, top, left + 340, top + 150), outline=0, width=3)
    sheet.draw.line((470, 750, 470, 950), fill=0, width=3)
    sheet.draw.line((640, 1025, 660, 1025), fill=0, width=3)
    sheet.write(330, 660, "Pump")
    sheet.write(690, 1010, "Filter")


@pytest.mark.parametrize("draw", [bars, curve, photograph, diagram])
@pytest.mark.parametrize("confidence", [None, 0.9])
def test_a_picture_between_paragraphs_is_found_as_one(
    draw: Callable[[Sheet], None], confidence: float | None
):
    sheet = Sheet()
    sheet.paragraph(100, 10)
    draw(sheet)
    sheet.paragraph(1250, 12)
    (box,) = sheet.figures()
    assert (box.left, box.right) == pytest.approx((300 / WIDTH, 1000 / WIDTH), abs=0.03)
    assert (box.top, box.bottom) == pytest.approx((600 / HEIGHT, 1100 / HEIGHT), abs=0.03)


def test_two_pictures_are_two_from_the_top():
    sheet = Sheet()
    sheet.draw.ellipse((700, 900, 1100, 1300), fill=120)
    sheet.draw.ellipse((200, 300, 600, 700), outline=0, width=3)
    first, second = sheet.figures()
    assert first.bottom < second.top and first.right < second.left


def table(sheet: Sheet) -> None:
    for row in range(17):
        sheet.draw.line((120, 300 + row * 45, 1100, 300 + row * 45), fill=0, width=2)
        for column in range(4):
            sheet.write(140 + column * 245, 310 + row * 45, "AX-4711 pump")
    for column in range(5):
        sheet.draw.line((120 + column * 245, 300, 120 + column * 245, 1065), fill=0, width=2)


def frame(sheet: Sheet) -> None:
    sheet.draw.rectangle((60, 60, WIDTH - 60, HEIGHT - 60), outline=0, width=4)
    sheet.paragraph(200, 8)


def shadow(sheet: Sheet) -> None:
    sheet.draw.rectangle((0, 0, 20, HEIGHT), fill=0)
    sheet.draw.rectangle((0, 0, WIDTH, 16), fill=0)
    sheet.paragraph(200, 8)


def underlined(sheet: Sheet) -> None:
    sheet.paragraph(100, 30)
    for row in range(30):
        sheet.draw.line((120, 126 + row * 34, 1000, 126 + row * 34), fill=0, width=2)


def dirty(sheet: Sheet) -> None:
    sheet.paragraph(100, 40)
    chance = random.Random(1)
    for _ in range(600):
        sheet.draw.point((chance.randrange(WIDTH), chance.randrange(HEIGHT)), fill=0)


def logo(sheet: Sheet) -> None:
    sheet.paragraph(200, 8)
    sheet.draw.rectangle((120, 100, 180, 160), fill=0)


@pytest.mark.parametrize("draw", [table, frame, shadow, underlined, dirty, logo])
def test_text_is_no_picture_whatever_stands_around_it(draw: Callable[[Sheet], None]):
    sheet = Sheet()
    draw(sheet)
    assert sheet.figures() == ()


def test_words_that_recognition_made_up_do_not_hide_a_picture():
    sheet = Sheet()
    sheet.paragraph(100, 10)
    photograph(sheet)
    (found,) = sheet.figures()
    sheet.words += [Word(0, 1, 0, found, 0.2)]
    assert sheet.figures() == (found,)
    sheet.words += [Word(0, 1, 0, found, 0.9)]
    assert sheet.figures() == ()


@pytest.mark.parametrize(("mode", "paper"), [("1", 255), ("L", 255), ("L", 120), ("RGB", 200)])
def test_paper_of_any_colour_is_blank_until_something_is_on_it(mode: str, paper: int):
    sheet = Sheet(paper)
    sheet.draw.rectangle((0, 0, 20, HEIGHT), fill=0)
    assert is_blank(sheet.image.convert(mode))
    sheet.paragraph(200, 1)
    assert not is_blank(sheet.image.convert(mode))


def test_dirt_does_not_make_a_page_and_a_scribble_does():
    sheet = Sheet()
    chance = random.Random(2)
    for _ in range(300):
        sheet.draw.point((chance.randrange(WIDTH), chance.randrange(HEIGHT)), fill=0)
    assert is_blank(sheet.image)
    sheet.draw.line((300, 300, 600, 420, 500, 330), fill=30, width=4)
    assert not is_blank(sheet.image)


@pytest.mark.parametrize("size", [(1, 1), (3, 2000), (2000, 3)])
def test_pages_of_any_shape_are_looked_at(size: tuple[int, int]):
    sheet = Sheet(size=size)
    assert is_blank(sheet.image) and sheet.figures() == ()
