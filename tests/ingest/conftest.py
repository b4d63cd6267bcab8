from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from reportlab.pdfgen.canvas import Canvas


@pytest.fixture
def pdf(tmp_path: Path) -> Callable[..., Path]:
    """`pdf(draw)`: a page of 400 x 300 points, drawn on by `draw(canvas)`; more by its showPage."""

    def make(
        draw: Callable[[Canvas], object], size: tuple[float, float] = (400, 300), **options: object
    ) -> Path:
        path = tmp_path / "made.pdf"
        canvas = Canvas(str(path), pagesize=size, **options)
        draw(canvas)
        canvas.save()
        return path

    return make
