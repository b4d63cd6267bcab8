"""Which languages a page is read in: those configured, or those of its script that can be read."""

from __future__ import annotations

import logging
import unicodedata
from collections import Counter
from statistics import fmean
from typing import TYPE_CHECKING, Literal

from rag_plugins.errors import ConfigError
from rag_plugins.ingest.ocr.engine import Layout, OcrEngine
from rag_plugins.ingest.ocr.reading import Reading

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["SCRIPTS", "Languages", "script_of"]

_logger = logging.getLogger(__name__)

SCRIPTS: dict[str, tuple[str, ...]] = {
    "Latin": tuple(
        "eng deu fra spa ita por nld swe dan nor fin isl pol ces slk slv hrv hun ron tur vie ind msa fil "
        "cat glg eus est lav lit sqi afr lat bos gle cym mlt epo swa".split()
    ),
    "Fraktur": ("frk", "deu_frak", "deu_latf", "deu"),
    "Han": ("chi_sim", "chi_tra"),
    "Japanese": ("jpn",),
    "Korean": ("kor",),
    "Cyrillic": ("rus", "ukr", "bel", "bul", "mkd", "srp", "kaz", "mon"),
    "Greek": ("ell", "grc"),
    "Arabic": ("ara", "fas", "urd"),
    "Hebrew": ("heb", "yid"),
    "Devanagari": ("hin", "mar", "nep", "san"),
    "Bengali": ("ben", "asm"),
    "Thai": ("tha",),
    "Armenian": ("hye",),
    "Georgian": ("kat",),
    "Tamil": ("tam",),
    "Telugu": ("tel",),
    "Kannada": ("kan",),
    "Malayalam": ("mal",),
    "Gujarati": ("guj",),
    "Gurmukhi": ("pan",),
    "Sinhala": ("sin",),
    "Khmer": ("khm",),
    "Lao": ("lao",),
    "Myanmar": ("mya",),
    "Tibetan": ("bod", "dzo"),
    "Ethiopic": ("amh", "tir"),
}
"""Scripts as Tesseract's detection names them, and the languages written in each, as it names those."""

_NAMES = {
    "Fraktur": ("LATIN",),
    "Han": ("CJK",),
    "Korean": ("HANGUL",),
    "Japanese": ("CJK", "HIRAGANA", "KATAKANA"),
}
"""How Unicode's names of the letters of a script begin, where not with the script's."""

_RIVALS = {"chi_sim": ("gb2312", "big5"), "chi_tra": ("big5", "gb2312")}
"""Simplified and traditional: an old character set that has its own characters, and one that has not.

Read as both at once, each spoils the other: error rates of .03 to .15, and .01 to .08 by the right one alone.
"""


class Languages:
    """What to read pages in. With "auto", that of the last page is tried first, as pages come in runs."""

    def __init__(self, wanted: Literal["auto"] | tuple[str, ...], engine: OcrEngine) -> None:
        """Raises `ConfigError` where languages are wanted that the engine does not read."""
        self._engine = engine
        self._known = known = engine.languages
        self._fixed = None if wanted == "auto" else wanted
        if self._fixed is None and not engine.detects:
            self._fixed = tuple(sorted(known))
        self._last: tuple[str, ...] = ()
        self._unknown: set[str] = set()
        missing = [language for language in self._fixed or () if language not in known]
        if missing:
            raise ConfigError(
                f"ocr.languages: {engine.name} has no data for {', '.join(missing)}; it reads "
                f"{', '.join(sorted(known)) or 'none'}. {engine.cure(missing)}"
            )

    def read(self, image: Image) -> Reading:
        """A first reading of the page."""
        if self._fixed is not None:
            return self._engine.read(image, Layout.AUTO, self._fixed)
        if self._last:
            reading = self._read_in(image, self._last)
            if _fits(reading):
                return reading
        script = self._engine.advice(image).script
        known = self._of(script)
        reading = self._read_in(image, known or self._all())
        if script and not known and reading.lost:
            self._warn(script)
        return reading

    def learn(self, reading: Reading) -> None:
        """Remember the languages of this page's script, if it read well."""
        if self._fixed is None and _fits(reading):
            self._last = self._of(script_of(reading))

    def _read_in(self, image: Image, languages: tuple[str, ...]) -> Reading:
        if languages != tuple(_RIVALS):
            return self._engine.read(image, Layout.AUTO, languages)
        return max(
            (self._engine.read(image, Layout.AUTO, (language,)) for language in languages), key=_at_home
        )

    def _of(self, script: str) -> tuple[str, ...]:
        return tuple(language for language in SCRIPTS.get(script, ()) if language in self._known)

    def _all(self) -> tuple[str, ...]:
        every = [language for languages in SCRIPTS.values() for language in languages]
        return tuple(dict.fromkeys(language for language in every if language in self._known))

    def _warn(self, script: str) -> None:
        if script not in self._unknown:
            self._unknown.add(script)
            _logger.warning(
                "A page looks %s, and no language of that script is installed: it is read as %s. %s",
                script,
                "+".join(self._all()),
                self._engine.cure(SCRIPTS.get(script, ())),
            )


def script_of(reading: Reading) -> str:
    """The script of most letters, named as in `SCRIPTS`; "" without letters."""
    letters = (char for piece in reading.pieces for char in piece.text if char.isalpha())
    starts = Counter(unicodedata.name(char, "").split(" ")[0] for char in letters)
    if not starts:
        return ""
    if starts["HIRAGANA"] + starts["KATAKANA"] > starts["CJK"] / 10:
        starts["HIRAGANA"] += starts["CJK"]
    most = starts.most_common(1)[0][0]
    return next(script for script in (*_ORDER, most.title()) if most in _NAMES.get(script, (script.upper(),)))


_ORDER = ("Latin", "Han", "Japanese", "Korean")


def _fits(reading: Reading) -> bool:
    """Whether a page read well, and its letters are of the script it was read for."""
    written = SCRIPTS.get(script_of(reading), ())
    return not reading.doubtful and any(language in written for language in reading.languages)


def _at_home(reading: Reading) -> float:
    """How sure the characters are that only this kind of Chinese has, by how sure those are that both have.

    The other kind's characters are misread as similar ones of this kind, and less surely: .79 to .93 on 6
    pages, and 1 where right; right on 18 pages of both kinds, where the mean confidence was on 14.
    """
    coding, other = _RIVALS[reading.languages[0]]
    sure = {True: [1.0], False: [1.0]}
    for piece in reading.pieces:
        for char in piece.text:
            if _encodes(char, coding) and not char.isascii():
                sure[not _encodes(char, other)].append(piece.confidence or 0.0)
    return fmean(sure[True]) / fmean(sure[False])


def _encodes(char: str, coding: str) -> bool:
    try:
        char.encode(coding)
    except UnicodeEncodeError:
        return False
    return True
