"""From a scan to an answer that says where it stands, on an example document."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import wrap

from drawings.encoders import EXACT
from drawings.svg import COOL, INK, SMALL, WARM, WIDTH, Canvas, Drawing, shown
from rag_plugins import Config, Hit, RagIndex
from rag_plugins.chat.extractive import Quote, best_quotes
from rag_plugins.chat.sources import sources_of
from rag_plugins.config import Bm25Leg, DenseLeg, RobustLeg
from rag_plugins.demo.examples import example_documents
from rag_plugins.types import Box, Citation, embed_text

__all__ = ["flow"]

QUESTION = "How does moisture get into the transducer?"
_LETTERS = 28
"""Across a box of half the width."""

_FILES = ("bulletin-sb-2019-07.jpg", "workshop-notes.md", "datasheet-pc2.pdf")
_CONFIG = Config(legs=(DenseLeg(), Bm25Leg(), RobustLeg()), compute=EXACT)


def flow() -> Drawing:
    """Page, both sides, search, answer, and the answer's boxes on the page."""
    with TemporaryDirectory() as folder, example_documents() as examples:
        with RagIndex.open(Path(folder) / "example.db", config=_CONFIG) as index:
            index.ingest([examples / name for name in _FILES], root=examples)
            hits, passages = index.search(QUESTION, k=3), index.find()
            context = index.context(hits)
            quote = best_quotes(QUESTION, sources_of(context, hits), index)[0]
            image = hits[0].page_image()
    assert image is not None
    hit, cited = _cited(hits, quote.text)
    # Passages overlap: a word may be in two of them.
    words = {
        word.box
        for passage in passages
        if passage.provenance and passage.provenance.source == cited.source
        for word in passage.provenance.words
    }
    return _draw(quote, hit, words, cited, image.height / image.width)


def _cited(hits: Sequence[Hit], quote: str) -> tuple[Hit, Citation]:
    """The hit that the quote is from and where it stands there: its words, over line ends."""
    pattern = r"\s+".join(map(re.escape, quote.split()))
    found = ((hit, re.search(pattern, hit.passage.llm_text)) for hit in hits)
    return next((hit, hit.passage.cite(*match.span())) for hit, match in found if match)


def _draw(quote: Quote, hit: Hit, words: Collection[Box], cited: Citation, tall: float) -> Drawing:
    canvas = Canvas(652)
    _page(canvas, words, cited.boxes, tall)
    _told(canvas, hit, len(words))
    _sides(canvas, hit, quote.text)
    _found(canvas, hit)
    _answer(canvas, quote, cited)
    return canvas.drawing(
        "A scanned page with a box for each recognised word; below it the two sides of its passage, the "
        "search, the answer, and the lines of the answer marked on the page.",
        f"All of it is from one run over three of the example documents: {len(words)} words as Tesseract "
        f"found them on {cited.source}, the two sides of the passage, its rank in each leg, the sentence "
        "that is quoted without a language model, and the lines that it cites, marked on the page.",
    )


def _page(canvas: Canvas, words: Collection[Box], cited: tuple[Box, ...], tall: float) -> None:
    left, top, width = 1, 24, 160
    canvas.text(0, 14, "The scan", bold=True)
    canvas.box(left, top, width, width * tall, fill=0.03)
    for box, tone, fill in [*((box, INK, 0.35) for box in words), *((box, WARM, 0.5) for box in cited)]:
        x, y = left + width * box.left, top + width * tall * box.top
        size = width * (box.right - box.left), width * tall * (box.bottom - box.top)
        canvas.box(x, y, *size, tone=tone, fill=fill, edge=float(tone == WARM), round=0.5)


def _told(canvas: Canvas, hit: Hit, words: int) -> None:
    origin = hit.passage.provenance
    canvas.arrow((164, 60), (186, 60))
    canvas.text(192, 54, "OCR", bold=True)
    sure = "" if origin is None or origin.confidence is None else f"confidence {shown(origin.confidence)}"
    canvas.lines(192, 74, [f"{words} words, each with", "its box and confidence;", f"this passage: {sure}"])
    canvas.lines(192, 140, ["One passage,", "two sides that", "never mix:"])
    canvas.arrow((287, 184), (287, 264), tone=WARM)
    canvas.line([(287, 256), (93, 256)], tone=COOL)
    canvas.arrow((93, 256), (93, 264), tone=COOL)


def _sides(canvas: Canvas, hit: Hit, quote: str) -> None:
    """Both from where the quote begins: one running text, and the lines of the page."""
    view = embed_text(hit.passage.views)
    assert view is not None
    first = quote.split()[0]
    said = wrap(view.text[max(view.text.find(first), 0) :], _LETTERS)
    lines = hit.passage.llm_text[max(hit.passage.llm_text.find(first), 0) :].splitlines()
    for left, title, tone, text in (
        (0, "views: EmbedText", COOL, said),
        (194, "llm_text: str", WARM, [_cut(line) for line in lines if line]),
    ):
        canvas.box(left, 266, 186, 112, tone=tone, fill=0.08)
        canvas.text(left + 8, 284, title, bold=True, tone=tone)
        canvas.lines(left + 8, 304, text[:5])


def _cut(line: str) -> str:
    return line if len(line) <= _LETTERS else f"{line[: _LETTERS - 1]}…"


def _found(canvas: Canvas, hit: Hit) -> None:
    canvas.arrow((93, 378), (93, 398), tone=COOL)
    canvas.box(0, 400, 186, 112, fill=0.05, edge=0.4)
    canvas.text(8, 418, "Search", bold=True)
    canvas.lines(8, 436, wrap(QUESTION, _LETTERS))
    ranks = [f"{score.stage} {score.rank}" for score in hit.trace if score.kind in ("leg", "rerank")]
    canvas.lines(8, 476, wrap("ranks: " + ", ".join(ranks), _LETTERS))
    canvas.arrow((186, 456), (206, 456))
    canvas.arrow((287, 378), (287, 398), tone=WARM)
    canvas.box(208, 400, 172, 112, fill=0.05, edge=0.4)
    canvas.text(216, 418, "Prompt", bold=True)
    canvas.lines(
        216,
        440,
        [
            "the llm_text of what was",
            "found, within a budget,",
            "each block numbered, with",
            "its source and page",
        ],
    )
    canvas.arrow((287, 512), (287, 530), tone=WARM)


def _answer(canvas: Canvas, quote: Quote, cited: Citation) -> None:
    canvas.box(0, 532, WIDTH, 118, tone=WARM, fill=0.08)
    canvas.text(8, 550, "Answer", bold=True, tone=WARM)
    said = wrap(f"“{quote.text}” [{quote.number}]", 56)
    canvas.lines(8, 570, said[:4])
    canvas.text(
        WIDTH - 8,
        642,
        f"[{quote.number}] {cited.source}, page {cited.page}",
        size=SMALL,
        anchor="end",
        tone=WARM,
    )
