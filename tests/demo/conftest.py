"""Hits made by hand, for the tests of the report."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from rag_plugins.types import Box, EmbedText, Hit, Passage, Provenance, StageScore, Word

TEXT = "Tighten to 38 Nm,\nnever to 83 Nm."


def word(text: str, line: int, confidence: float | None, occurrence: int = 0) -> Word:
    start = -1
    for _ in range(occurrence + 1):
        start = TEXT.index(text, start + 1)
    top = (2 + line) / 10
    return Word(start, start + len(text), line, Box(0.1, top, 0.9, top + 0.05), confidence)


@pytest.fixture
def passage() -> Passage:
    words = (
        word("Tighten", 0, 0.97),
        word("38", 0, 0.41),
        word("never", 1, 0.93),
        word("83", 1, 0.59),
        word("Nm.", 1, 0.6),
    )
    return Passage(
        "0" * 64,
        "handbook.tif",
        (EmbedText("tighten torque"),),
        TEXT,
        provenance=Provenance("handbook.tif", 4, words, "a" * 64),
    )


@pytest.fixture
def hit(passage: Passage) -> Hit:
    trace = (
        StageScore("dense", "leg", 3, 0.52, 0.5, 0.2),
        StageScore("bm25", "leg", 1, 12.25, 0.5, 0.5),
        StageScore("minmax", "fusion", 1, 0.7),
        StageScore("late-interaction", "rerank", 2, -0.3),
    )
    return Hit(passage, 0.875, trace)


@pytest.fixture
def page_image() -> bytes:
    out = io.BytesIO()
    Image.new("1", (1654, 2338), 1).save(out, "PNG")
    return out.getvalue()
