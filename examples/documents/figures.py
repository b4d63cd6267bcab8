"""The line drawing of the handbook's first page."""

from __future__ import annotations

from collections.abc import Callable

from PIL import ImageDraw, ImageFont

INK = 20
Area = tuple[int, int, int, int]


def booster(draw: ImageDraw.ImageDraw, area: Area, font: ImageFont.FreeTypeFont) -> None:
    """Pump, tank, controller and pipes in a 100 x 60 grid fitted into `area`, with numbered callouts."""
    unit = (area[3] - area[1]) / 60
    offset = (area[0] + area[2]) / 2 - 50 * unit

    def at(x: float, y: float) -> tuple[float, float]:
        return offset + x * unit, area[1] + y * unit

    def box(x1: float, y1: float, x2: float, y2: float, radius: float = 0.8) -> None:
        draw.rounded_rectangle([at(x1, y1), at(x2, y2)], radius * unit, None, INK, 4)

    box(14, 54, 86, 57)
    for foot in (18, 78):
        box(foot, 57, foot + 4, 59)
    _pump(box, lambda y: draw.line([at(33, y), at(47, y)], INK, 3))
    box(64, 18, 80, 41, 7)
    draw.line([at(64, 30), at(80, 30)], INK, 3)
    box(70, 41, 74, 46, 0.2)
    box(8, 46, 30, 50)
    box(50, 46, 94, 50)
    draw.polygon([at(54, 45), at(59, 48), at(54, 51)], INK)
    draw.ellipse([at(84, 37), at(89, 42)], None, INK, 4)
    draw.line([at(86.5, 42), at(86.5, 46)], INK, 5)
    for number, target, place in _CALLOUTS:
        draw.line([at(*target), at(*place)], INK, 2)
        x, y = at(*place)
        draw.ellipse([x - 2.6 * unit, y - 2.6 * unit, x + 2.6 * unit, y + 2.6 * unit], 255, INK, 3)
        draw.text((x, y), str(number), INK, font, anchor="mm")


def _pump(box: Callable[..., None], fin: Callable[[float], None]) -> None:
    box(30, 42, 50, 54)
    box(32, 36, 48, 42)
    box(33, 14, 47, 36)
    for number in range(6):
        fin(17 + 3 * number)
    box(35, 9, 45, 14)
    box(47, 18, 56, 31)
    box(49, 20, 54, 24, 0.4)


_CALLOUTS = (
    (1, (33, 26), (18, 22)),
    (2, (72, 24), (90, 18)),
    (3, (54, 28), (62, 10)),
    (4, (86.5, 39.5), (97, 32)),
    (5, (56.5, 50), (64, 62)),
    (6, (20, 55), (6, 61)),
)

FIGURES: dict[str, Callable[[ImageDraw.ImageDraw, Area, ImageFont.FreeTypeFont], None]] = {"booster": booster}
