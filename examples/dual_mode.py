"""Dual mode: pages found by what they look like and by what they say, answered from what they say, and cited.

    python examples/dual_mode.py [MODEL]

MODEL puts images and texts into one space: a preset, a folder or a hub id of a CLIP-like model. Without one,
an encoder stands in that knows nothing but colours. Needs Tesseract.
"""

import sys
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from rag_plugins import Config, RagIndex
from rag_plugins.config import ImageLeg
from rag_plugins.models.protocols import DENSE, Encoding, Representation

Colour = tuple[int, int, int]
Representations = frozenset[Representation]
COLOURS = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1)}


class Colours:
    """An image is the mean of its coloured pixels, a query the colours that it names."""

    produces, dim, matryoshka = DENSE, 3, ()
    fingerprint = {"model": "colours"}

    def encode_queries(self, queries: Sequence[str], want: Representations = DENSE) -> Encoding:
        """Sums of the colours named."""
        return self._unit(
            [sum(np.array(rgb) for name, rgb in COLOURS.items() if name in query) for query in queries]
        )

    def encode_images(self, images: Sequence[bytes], want: Representations = DENSE) -> Encoding:
        """Sums of what is not grey."""
        pixels = [np.asarray(Image.open(BytesIO(data)).convert("RGB")).reshape(-1, 3) for data in images]
        return self._unit([page[np.ptp(page, axis=1) > 60].sum(axis=0) / 255 for page in pixels])

    @staticmethod
    def _unit(rows: Sequence[np.ndarray | float]) -> Encoding:
        vectors = np.array([np.broadcast_to(row, 3) for row in rows], np.float32) + 1e-3
        return Encoding(dense=vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def draw_page(path: Path, lines: Sequence[str] = (), colour: Colour | None = None) -> None:
    """A scan of 150 dots an inch: lines of text, and a filled shape where a colour is given."""
    page = Image.new("RGB", (1240, 900), "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(size=36)
    for number, line in enumerate(lines):
        pen.text((110, 90 + 70 * number), line, "black", font)
    if colour:
        pen.polygon(
            [(0, 900), (0, 700), (400, 350), (700, 600), (900, 480), (1240, 760), (1240, 900)], colour
        )
    page.save(path)


def show(index: RagIndex, question: str, quote: str | None = None) -> None:
    """What an LLM would be given for a question, and where a quote of it stands."""
    hits = index.search(question, k=2)
    context = index.context(hits, whole_pages=True, budget=600)
    print(f"\n=== {question}\n{context}")
    if quote:
        start = context.text.index(quote)
        for place in context.cite(start, start + len(quote)):
            print(f"{quote!r} is on page {place.page} of {place.source}, in {place.boxes}")
    if page := hits[0].page_image():
        print(f"the first page is a picture of {page.size} pixels")


model = sys.argv[1] if len(sys.argv) > 1 else None
legs = (*Config.preset("local").legs, ImageLeg(model=model or "colours"))
# A reranker of texts would judge a picture by the little that was recognised in it.
config = Config(legs=legs, rerank=())
encoders = {} if model else {"image": Colours()}
with TemporaryDirectory() as name:
    folder = Path(name)
    draw_page(folder / "pump.png", ["Service of the pump", "Tighten the screws of the flange to 12 Nm."])
    draw_page(
        folder / "lamp.png", ["Signals", "The lamp tells when the tank is empty."], colour=(220, 30, 30)
    )
    draw_page(folder / "plan.png", colour=(30, 30, 220))
    with RagIndex.open(folder / "pages.db", config=config, encoders=encoders) as index:
        index.ingest([folder], root=folder)
        show(index, "How tight are the screws of the flange?", quote="12 Nm")
        show(index, "blue mountains")
