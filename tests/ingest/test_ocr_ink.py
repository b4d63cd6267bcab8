from __future__ import annotations

import numpy as np
import pytest
from ingest_support import drawn
from PIL import Image

from rag_plugins.ingest.ocr.ink import levelled, skew, unread
from rag_plugins.types import Box

TEXT = tuple(f"Line {number} of a page with enough words" for number in range(12))


def page() -> Image.Image:
    return drawn(TEXT, size=(900, 1000))


@pytest.mark.parametrize("angle", [-9.0, -3.0, -0.8, 0.6, 2.5, 7.3])
def test_skew_is_what_straightens_the_page(angle: float):
    crooked = page().rotate(-angle, Image.Resampling.BICUBIC, expand=True, fillcolor=255)
    assert skew(crooked) == pytest.approx(angle, abs=0.2)


@pytest.mark.parametrize("image", [page(), Image.new("L", (400, 300), 255), Image.linear_gradient("L")])
def test_level_and_empty_pages_stay(image: Image.Image):
    assert skew(image) == 0.0


def test_noise_has_no_direction():
    speckle = np.random.default_rng(0).integers(0, 2, (1200, 1000), dtype=np.uint8) * 255
    assert skew(Image.fromarray(speckle)) == 0.0


def test_strokes_outside_the_boxes_are_unread():
    assert unread(page(), [Box(0, 0, 1, 1)]) == 0.0
    assert unread(page(), []) == 1.0
    assert unread(page(), [Box(0, 0, 1, 0.5)]) == pytest.approx(0.5, abs=0.15)
    assert unread(Image.new("1", (300, 200), 1), []) == 0.0


def test_a_black_border_hardly_counts():
    framed = Image.new("L", (1300, 1400), 0)
    framed.paste(page(), (200, 200))
    assert unread(framed, [Box(210 / 1300, 210 / 1400, 1090 / 1300, 1190 / 1400)]) < 0.1


def test_faint_print_in_shade_becomes_black_on_white():
    shade = np.linspace(120, 240, 900, dtype=np.float32)[None, :]
    faint = Image.fromarray((shade * (1 - 0.15 * (1 - np.asarray(page()) / 255))).astype(np.uint8))
    even = np.asarray(levelled(faint))
    ink = np.asarray(page()) < 50
    assert even[ink].mean() < 60
    assert even[~ink].mean() > 240
