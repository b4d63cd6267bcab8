"""What an engine for text recognition has to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from PIL.Image import Image

    from rag_plugins.ingest.ocr.reading import Reading

__all__ = ["Advice", "Layout", "OcrEngine"]


class Layout(IntEnum):
    """What the engine may assume of a page; the values are Tesseract's page segmentation modes."""

    AUTO = 3
    BLOCK = 6
    SPARSE = 11


@dataclass(frozen=True, slots=True)
class Advice:
    """What a look at a page says: degrees clockwise that put it upright, and its script, "" if unknown.

    Scripts are named as Unicode does, Latin or Han.
    """

    turn: int = 0
    script: str = ""


class OcrEngine(Protocol):
    """Reads pages. Safe to call from several threads at once."""

    @property
    def name(self) -> str:
        """As messages call it."""
        ...

    @property
    def layouts(self) -> frozenset[Layout]:
        """Which layouts make a difference."""
        ...

    @property
    def languages(self) -> frozenset[str]:
        """What can be read, named as Tesseract does."""
        ...

    @property
    def detects(self) -> bool:
        """Whether the languages that it reads a page in make a difference, and `advice` names scripts."""
        ...

    @property
    def upright(self) -> float:
        """The mean confidence of a character below which a page may lie wrong."""
        ...

    def cure(self, languages: Iterable[str]) -> str:
        """How to have these languages read."""
        ...

    def read(self, image: Image, layout: Layout, languages: tuple[str, ...]) -> Reading:
        """The words of an image (mode 1, L or RGB), with boxes and confidences, lines in reading order."""
        ...

    def advice(self, image: Image) -> Advice:
        """How the page lies and what script it is in, where the engine has an opinion."""
        ...
