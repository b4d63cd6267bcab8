"""Dual mode, step by step: what retrieval reads of a scan, what the LLM reads, and where a quote stands.

    python examples/dual_mode_walkthrough.py [MODEL]      (needs Tesseract)

MODEL puts images and texts into one space: a preset, a folder or a hub id of a CLIP-like model. Without one
an encoder stands in that knows nothing but colours.
"""

import sys
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from shutil import copy
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image, ImageDraw

from rag_plugins import Config, EmbedText, RagIndex
from rag_plugins.config import Bm25Leg, DenseLeg, ImageLeg
from rag_plugins.demo.examples import example_documents
from rag_plugins.models.protocols import DENSE, Encoding, Representation


class Colours:
    """An image is the mean of its colours, a query the colours that it names."""

    produces, dim, matryoshka, fingerprint = DENSE, 3, (), {"model": "colours"}

    def encode_queries(self, queries: Sequence[str], want: frozenset[Representation] = DENSE) -> Encoding:
        """Red, green and blue, as far as they are named."""
        return self._unit([[name in query for name in ("red", "green", "blue")] for query in queries])

    def encode_images(self, images: Sequence[bytes], want: frozenset[Representation] = DENSE) -> Encoding:
        """How red, green and blue they are, less what is grey."""
        pixels = [np.asarray(Image.open(BytesIO(data)).convert("RGB"), float).mean((0, 1)) for data in images]
        return self._unit([mean - mean.min() for mean in pixels])

    @staticmethod
    def _unit(rows: Sequence[object]) -> Encoding:
        vectors = np.array(rows, np.float32) + 1e-3
        return Encoding(dense=vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


with example_documents() as scans, TemporaryDirectory() as name:
    folder, model = Path(name), sys.argv[1] if len(sys.argv) > 1 else None
    copy(scans / "bulletin-sb-2019-07.jpg", folder / "letter.jpg")
    drawing = Image.new("RGB", (1240, 900), "white")
    ImageDraw.Draw(drawing).polygon([(0, 900), (0, 300), (1240, 700), (1240, 900)], (30, 30, 220))
    drawing.save(folder / "drawing.png")
    config = Config(legs=(DenseLeg(), Bm25Leg(), ImageLeg(model=model or "colours")), rerank=())
    with RagIndex.open(
        folder / "x.db", config=config, encoders={} if model else {"image": Colours()}
    ) as index:
        index.ingest([folder], root=folder)
        hits = index.search("Why is the cable laid in a downward loop?", k=1, explain=True)
        print("1. What retrieval reads of the best passage: its views. In a prompt a view is an error.")
        for view in hits[0].passage.views:
            print(f"   {view.text[:120] + '…' if isinstance(view, EmbedText) else 'the image of its page'}")

        print("2. What the question matched.")
        for stage in hits[0].trace:
            print(f"   {stage.kind} {stage.stage}: rank {stage.rank}, score {stage.score:.2f}")
        print(f"   words: {', '.join(match.term for match in hits[0].terms['bm25'])}")

        print("3. What the LLM reads: the lines of the page, and doubts of the OCR.")
        print(context := index.context(hits))

        quote = "so that water drips off"
        start = context.text.index(quote)
        print(f"4. Where {quote!r} stands.")
        (place,) = context.cite(start, start + len(quote))
        print(f"   page {place.page} of {place.source}, {place.boxes}, confidence {place.confidence:.2f}")

        print("5. A page without a word is found by what it looks like.")
        for legs in (["dense", "bm25"], ["image"]):
            found = index.search("a blue slope", k=1, legs=legs)
            print(f"   by {' and '.join(legs)}: {found[0].passage.llm_text[:60]!r}")
