"""Renders the example documents in source/ to the degraded scans that the package ships.

The texts were written for this project and are under its licence; the device and its maker are invented.

    python examples/documents/render.py [--output FOLDER]

Needs the dev extra (Pillow, numpy, reportlab) and the fonts of fonts-liberation, fonts-dejavu and
fonts-wqy-zenhei. The same versions of these give the same bytes: every seed is fixed below.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from born_digital import as_pdf
from degrade import Scan, as_jpeg, as_png, as_tiff, degrade, stamp
from markup import read_pages
from typeset import Style, typeset

HERE = Path(__file__).resolve().parent
SOURCE = HERE / "source"
PACKAGE_DATA = HERE.parents[1] / "rag_plugins" / "demo" / "documents"

SERIF = Style(
    "LiberationSerif-Regular.ttf", "LiberationSerif-Bold.ttf", size=11.5, header="Tornvik Pumpworks   AQ-310"
)
TYPEWRITER = Style(
    "LiberationMono-Regular.ttf", "LiberationMono-Bold.ttf", size=11, leading=1.35, dpi=150, margin=0.85
)
FORM = Style(
    "LiberationSans-Regular.ttf",
    "LiberationSans-Bold.ttf",
    size=13,
    leading=1.4,
    dpi=150,
    landscape=True,
    ruled=True,
)
CHINESE = Style("wqy-zenhei.ttc", "wqy-zenhei.ttc", size=12, leading=1.5, dpi=150)

HANDBOOK_SCANS = (
    Scan(seed=1, skew=0.2, specks=20),
    Scan(seed=2, skew=-0.4, specks=40),
    Scan(seed=3, skew=0.1, specks=20, blur=0.8),
    Scan(seed=4, skew=0.6, specks=30, shade=60),
    Scan(seed=5, skew=-0.7, specks=60, blur=1.0),
    Scan(seed=6, skew=0.3, specks=30, fade=0.25),
)


def handbook() -> bytes:
    """Six pages, bilevel TIFF."""
    pages = [
        typeset(blocks, SERIF, number) for number, blocks in enumerate(read_pages(SOURCE / "handbook.md"), 1)
    ]
    return as_tiff([degrade(page, scan) for page, scan in zip(pages, HANDBOOK_SCANS, strict=True)], SERIF.dpi)


def bulletin() -> bytes:
    """A typewritten letter with a stamp, grey JPEG."""
    page = _one_page("bulletin.md", TYPEWRITER)
    page = stamp(page, ("RECEIVED", "18 MAR 2019"), TYPEWRITER.font(1.3, bold=True), (780, 1310))
    return as_jpeg(
        degrade(page, Scan(seed=7, skew=-0.5, blur=0.9, noise=9, shade=45, fade=0.1)), 150, quality=32
    )


def commissioning() -> bytes:
    """A landscape form that went through the scanner the narrow way: turned by 90 degrees."""
    page = _one_page("commissioning.md", FORM)
    return as_jpeg(
        degrade(page, Scan(seed=8, skew=-0.3, blur=0.7, noise=5, shade=30, turn=90)), 150, quality=35
    )


def guide_zh() -> bytes:
    """A page of Chinese, PNG in 8 grey levels."""
    page = _one_page("guide-zh.md", CHINESE)
    return as_png(degrade(page, Scan(seed=9, skew=0.3, blur=0.6, noise=3)), CHINESE.dpi, levels=8)


def controller() -> bytes:
    """Two pages with a text layer, PDF."""
    return as_pdf(read_pages(SOURCE / "controller.md"), title="Controller PC2, data sheet 310-DS-11")


DOCUMENTS: dict[str, Callable[[], bytes]] = {
    "handbook-aq310.tif": handbook,
    "bulletin-sb-2019-07.jpg": bulletin,
    "commissioning-linden-street.jpg": commissioning,
    "guide-zh.png": guide_zh,
    "datasheet-pc2.pdf": controller,
}


def _one_page(source: str, style: Style):  # noqa: ANN202
    (blocks,) = read_pages(SOURCE / source)
    return typeset(blocks, style, 1)


def main() -> None:
    """Write every document and say how large it became."""
    parser = argparse.ArgumentParser(description="Render the example documents.")
    parser.add_argument("--output", type=Path, default=PACKAGE_DATA)
    output: Path = parser.parse_args().output
    output.mkdir(parents=True, exist_ok=True)
    for name, render in DOCUMENTS.items():
        data = render()
        (output / name).write_bytes(data)
        print(f"{name:34} {len(data) / 1024:7.1f} KB")


if __name__ == "__main__":
    main()
