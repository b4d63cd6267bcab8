from __future__ import annotations

import logging

import pytest
from ingest_support import LINES, drawn
from PIL import Image

from rag_plugins.config import OcrConfig
from rag_plugins.errors import ConfigError
from rag_plugins.ingest.ocr import Advice, Layout, Reading, recognise
from rag_plugins.ingest.ocr.scripts import SCRIPTS, Languages, script_of
from rag_plugins.ingest.text import Piece
from rag_plugins.types import Box

WHOLE = Box(0, 0, 1, 1)
PAGE = Image.new("L", (400, 400), 255)
SCRIPT_TEXTS = {
    "Latin": "the pump is bolted to the frame",
    "Han": "设备手册第三版",
    "Japanese": "ポンプは台座に固定されています",
    "Korean": "펌프는 틀에 고정되어 있습니다",
    "Cyrillic": "насос прикручен к раме",
    "Greek": "η αντλία είναι βιδωμένη",
    "": "4711 - 12,50",
}


def reading(text: str, sure: float = 0.9, languages: tuple[str, ...] = ()) -> Reading:
    return Reading(PAGE, [[[Piece(word, WHOLE, sure) for word in text.split()]]], languages)


class Polyglot:
    """Reads the text of its page well in a language of its script, and not otherwise."""

    name, detects, upright = "engine", True, 0.5
    layouts = frozenset(Layout)

    def __init__(self, languages: set[str], script: str, text: str) -> None:
        self.languages = frozenset(languages)
        self.script, self.text = script, text
        self.asked: list[tuple[str, ...]] = []

    def read(self, image: Image.Image, layout: Layout, languages: tuple[str, ...]) -> Reading:
        self.asked.append(languages)
        if any(language in SCRIPTS.get(self.script, ()) for language in languages):
            return reading(self.text, 0.9, languages)
        return reading("ii ll jj ww", 0.2, languages)

    def cure(self, languages: object) -> str:
        return f"install {languages}"

    def advice(self, image: Image.Image) -> Advice:
        self.asked.append(("advice",))
        return Advice(0, self.script)


def test_scripts_are_told_by_their_letters():
    assert {script: script_of(reading(text)) for script, text in SCRIPT_TEXTS.items()} == {
        script: script for script in SCRIPT_TEXTS
    }


def test_a_page_is_read_in_what_is_installed_of_its_script():
    engine = Polyglot({"eng", "deu", "rus", "osd"}, "Cyrillic", SCRIPT_TEXTS["Cyrillic"])
    assert Languages("auto", engine).read(PAGE).languages == ("rus",)


def test_the_last_script_is_tried_first_and_given_up_where_it_does_not_fit():
    engine = Polyglot({"eng", "rus"}, "Cyrillic", SCRIPT_TEXTS["Cyrillic"])
    languages = Languages("auto", engine)
    languages.learn(languages.read(PAGE))
    languages.learn(languages.read(PAGE))
    assert engine.asked == [("advice",), ("rus",), ("rus",)]
    engine.script, engine.text = "Latin", SCRIPT_TEXTS["Latin"]
    engine.asked.clear()
    assert languages.read(PAGE).languages == ("eng",)
    assert engine.asked == [("rus",), ("advice",), ("eng",)]


def test_unknown_scripts_are_read_in_all_languages():
    engine = Polyglot({"eng", "rus", "osd", "equ"}, "", "")
    assert Languages("auto", engine).read(PAGE).languages == ("eng", "rus")


def test_a_script_without_data_is_named_once_with_the_cure(caplog: pytest.LogCaptureFixture):
    engine = Polyglot({"eng"}, "Cyrillic", SCRIPT_TEXTS["Cyrillic"])
    languages = Languages("auto", engine)
    with caplog.at_level(logging.WARNING):
        assert [languages.read(PAGE).languages for _ in range(2)] == [("eng",), ("eng",)]
    (record,) = caplog.records
    assert "Cyrillic" in record.getMessage() and "rus" in record.getMessage()


class Chinese(Polyglot):
    """Takes characters of the other kind for similar ones of its own, and is less sure of them."""

    def read(self, image: Image.Image, layout: Layout, languages: tuple[str, ...]) -> Reading:
        self.asked.append(languages)
        (language,) = languages
        texts = {"chi_sim": "设备说明书发动机", "chi_tra": "設備說明書發動機"}
        own = [character != other for character, other in zip(*texts.values(), strict=True)]
        right = texts[language] == self.text
        pieces = [
            Piece(character, WHOLE, 0.9 if right or not alone else 0.8)
            for character, alone in zip(2 * texts[language], 2 * own, strict=True)
        ]
        return Reading(PAGE, [[pieces]], languages)


@pytest.mark.parametrize(
    ("text", "language"), [("设备说明书发动机", "chi_sim"), ("設備說明書發動機", "chi_tra")]
)
def test_simplified_or_traditional_is_told_by_how_sure_its_own_characters_are(text: str, language: str):
    engine = Chinese({"chi_sim", "chi_tra", "eng"}, "Han", text)
    languages = Languages("auto", engine)
    made = languages.read(PAGE)
    assert made.languages == (language,)
    languages.learn(made)
    engine.asked.clear()
    assert languages.read(PAGE).languages == (language,)
    assert engine.asked == [("chi_sim",), ("chi_tra",)]  # Each page anew, but not its script.


def test_languages_that_are_not_installed_are_an_error():
    with pytest.raises(ConfigError, match=r"no data for rus, ukr; it reads eng\. install"):
        Languages(("rus", "ukr"), Polyglot({"eng"}, "Latin", ""))


def test_auto_with_tesseract_itself():
    found = recognise(drawn(), OcrConfig(languages="auto"))
    assert [piece.text for piece in found.pieces] == " ".join(LINES).split()
