"""Sparse vectors: the weights of one question and one passage, and the postings that a search reads."""

from __future__ import annotations

from functools import cache

from drawings.svg import COOL, SMALL, WARM, WIDTH, Canvas, Drawing, shown
from rag_plugins import EmbedText
from rag_plugins.config import Bm25Leg
from rag_plugins.demo.examples import example_documents
from rag_plugins.models.bm25 import Bm25Encoder, dimension
from rag_plugins.resident.sparse import SparseIndex
from rag_plugins.vectors import SparseVector

__all__ = ["postings", "products"]

QUESTION = "screws of the fan cover"


@cache
def _notes() -> tuple[Bm25Encoder, tuple[SparseVector, ...]]:
    """The paragraphs of the example notes as passages."""
    with example_documents() as folder:
        text = (folder / "workshop-notes.md").read_text(encoding="utf-8")
    views = [EmbedText(part) for part in text.split("\n\n") if not part.startswith("#")]
    encoder = Bm25Encoder(Bm25Leg(language="english"))
    encoder.learn(views)
    return encoder, encoder.encode_documents(views).sparse or ()


def _question(encoder: Bm25Encoder) -> dict[str, float]:
    return dict(sorted(encoder.query_weights(QUESTION).items(), key=lambda item: -item[1]))


def _scores(weights: dict[str, float], documents: tuple[SparseVector, ...]) -> list[float]:
    index = SparseIndex()
    index.append(documents)
    query = SparseVector.of({dimension(term): weight for term, weight in weights.items()})
    rows, scores = index.search(query, len(documents), None)
    found = dict(zip(rows.tolist(), scores.tolist(), strict=True))
    return [found.get(n, 0.0) for n in range(len(documents))]


def products() -> Drawing:
    """Query weight times document weight, term by term."""
    encoder, documents = _notes()
    weights = _question(encoder)
    scores = _scores(weights, documents)
    best = max(range(len(scores)), key=scores.__getitem__)
    document = documents[best].as_dict()
    canvas = Canvas(62 + 28 * len(weights))
    for x, title in ((60, "question"), (175, "passage"), (290, "product")):
        canvas.text(x, 14, title, bold=True, size=SMALL)
    for n, (term, asked) in enumerate(weights.items()):
        y, has = 24 + 28 * n, document.get(dimension(term), 0.0)
        canvas.text(52, y + 15, term, anchor="end", size=SMALL)
        for x, value, tone in ((60, asked, COOL), (175, has, COOL), (290, asked * has, WARM)):
            canvas.box(x, y + 2, 56 * value / max(weights.values()), 18, tone=tone, fill=0.7, edge=0, round=1)
            canvas.text(x + 60 * value / max(weights.values()) + 3, y + 15, shown(value), size=SMALL)
    canvas.line([(290, 28 + 28 * len(weights)), (WIDTH, 28 + 28 * len(weights))])
    canvas.text(
        WIDTH, 46 + 28 * len(weights), f"score {shown(scores[best])}", anchor="end", tone=WARM, bold=True
    )
    return canvas.drawing(
        "For each term its weight in the question, its weight in the passage and their product; "
        f"the products add up to {shown(scores[best])}.",
        f"“{QUESTION}” and the passage of the example workshop notes that fits best: BM25's weights, by the "
        f"package's encoder over {len(documents)} passages. Terms are stems. A learned model fills the same "
        "two columns, also with terms that neither text has.",
    )


def postings() -> Drawing:
    """The lists of the question's terms, and what adding them up gives."""
    encoder, documents = _notes()
    weights = _question(encoder)
    scores = _scores(weights, documents)
    step, left = 62, 62
    high = 32 * len(weights)
    canvas = Canvas(high + 86)
    for n in range(len(documents)):
        canvas.text(left + step * n + 28, 14, f"no. {n + 1}", size=SMALL, anchor="middle")
    read = 0
    for r, term in enumerate(weights):
        y = 24 + 32 * r
        canvas.text(54, y + 18, term, anchor="end", size=SMALL)
        canvas.line([(left, y + 14), (left + step * len(documents) - 6, y + 14)], opacity=0.2)
        for n, document in enumerate(documents):
            has = document.as_dict().get(dimension(term))
            if has is not None:
                read += 1
                canvas.box(left + step * n + 2, y + 2, 52, 24, tone=COOL, fill=0.15 + 0.5 * has)
                canvas.text(left + step * n + 28, y + 18, shown(has), size=SMALL, anchor="middle")
    canvas.line([(left, high + 28), (WIDTH, high + 28)])
    canvas.text(54, high + 52, "score", anchor="end", size=SMALL, bold=True)
    for n, score in enumerate(scores):
        tone = WARM if score == max(scores) else COOL
        canvas.text(left + step * n + 28, high + 52, shown(score), anchor="middle", tone=tone, bold=True)
    cells = len(weights) * len(documents)
    canvas.text(0, high + 78, f"{read} postings read, of {cells} places", size=SMALL)
    return canvas.drawing(
        f"For each term of the question the passages that have it, with their weights: {read} postings.",
        "The postings of the same question: for each term the passages that have it, with its weight there, "
        "and the scores that the package's index gives. A passage that shares no term is never touched.",
    )
