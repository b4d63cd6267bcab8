"""From hits to what a page can show: texts cut at doubtful words, boxes, traces as rows of a table."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from rag_plugins.errors import require
from rag_plugins.types import Box, Hit, Passage, StageScore, embed_text

__all__ = [
    "DOUBT",
    "AnswerView",
    "HitRow",
    "Run",
    "StageRow",
    "lines",
    "look",
    "origin",
    "remark",
    "runs",
    "where",
]

DOUBT = 0.6
"""Words that the OCR is less sure of than this are marked."""

_Stage: TypeAlias = tuple[str, str, str | None]
"""Name, kind, and the query where several were searched."""

_ORDER = {"shortlist": 0, "leg": 0, "left out": 0, "fusion": 1, "queries": 2, "rerank": 3}

_JOINS = {"fusion": "leg", "queries": "fusion"}
"""Whose scores each kind of fusion adds up."""

_IMAGE_WIDTH = 1000
_SNIPPET = 90


@dataclass(frozen=True, slots=True)
class Run:
    """A stretch of text; `confidence` is given for a doubtful word alone."""

    text: str
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class StageRow:
    """One stage of the best hit's trace; no rank where the stage did not find it, 0 where it was left out.

    `shares` are (leg number, share of the best fused score), the bars to draw; `remark` is what a reranker's
    score means and how much it read, where there is something to say; `why` the reason for a leg's weight.
    """

    name: str
    kind: str
    rank: int | None = None
    score: float | None = None
    weight: float | None = None
    shares: tuple[tuple[int, float], ...] = ()
    remark: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class HitRow:
    """One of the hits: where it is from, how it begins, its final score, its rank in every stage that ran."""

    place: str
    snippet: str
    score: float
    ranks: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class AnswerView:
    """All that the page shows of one question; empty from `place` on where nothing was found."""

    question: str
    remark: str
    place: str = ""
    origin: str = ""
    image: str = ""
    boxes: tuple[Box, ...] = ()
    lines: tuple[tuple[Run, ...], ...] = ()
    retrieval_text: str = ""
    stages: tuple[StageRow, ...] = ()
    score: float = 0.0
    hits: tuple[HitRow, ...] = ()

    @property
    def ran(self) -> tuple[StageRow, ...]:
        """The stages that were not left out."""
        return tuple(stage for stage in self.stages if stage.rank != 0)

    @property
    def doubtful(self) -> int:
        """How many words are marked."""
        return sum(run.confidence is not None for line in self.lines for run in line)


def look(question: str, hits: Sequence[Hit], image: bytes | None, remark: str = "") -> AnswerView:
    """Prepare one question and its hits, best first. `image` is the page of the first hit, encoded."""
    if not hits:
        return AnswerView(question, remark)
    best = hits[0].passage
    stages = _stage_names(hits)
    return AnswerView(
        question,
        remark,
        place=where(best),
        origin=origin(best),
        image=_data_uri(image) if image else "",
        boxes=best.provenance.boxes() if best.provenance else (),
        lines=tuple(lines(best)),
        retrieval_text=_other_side(best),
        stages=tuple(_stage_rows(hits, stages)),
        score=hits[0].score,
        hits=tuple(_hit_row(hit, [name for name in stages if name[1] != "left out"]) for hit in hits),
    )


def _other_side(passage: Passage) -> str:
    """What retrieval reads, where that differs by more than line ends from what the LLM reads."""
    view = embed_text(passage.views)
    return view.text if view and view.text.split() != passage.llm_text.split() else ""


def where(passage: Passage) -> str:
    """File and page, as one would cite it."""
    provenance = passage.provenance
    if provenance is None:
        return passage.doc_id
    page = "" if provenance.page is None else f", page {provenance.page}"
    return f"{provenance.source}{page}"


def origin(passage: Passage) -> str:
    """How the text came to be: recognised and how surely, a file's own text layer, or plain text."""
    provenance = passage.provenance
    if provenance is None or not provenance.words:
        return "plain text"
    sure = provenance.confidence
    return "the file's own text layer" if sure is None else f"OCR, mean confidence {100 * sure:.0f} %"


def runs(passage: Passage) -> Iterator[Run]:
    """The LLM's text in order and in full, cut at the words that the OCR doubts."""
    text, done = passage.llm_text, 0
    words = passage.provenance.words if passage.provenance else ()
    for word in sorted(words, key=lambda word: word.start):
        if word.confidence is None or word.confidence >= DOUBT or not done <= word.start < word.end:
            continue
        if word.start > done:
            yield Run(text[done : word.start])
        yield Run(text[word.start : word.end], word.confidence)
        done = word.end
    if done < len(text):
        yield Run(text[done:])


def lines(passage: Passage) -> Iterator[tuple[Run, ...]]:
    """The same runs, line by line, without the line ends."""
    line: list[Run] = []
    for run in runs(passage):
        first, *rest = run.text.split("\n")
        line.append(Run(first, run.confidence))
        for text in rest:
            yield tuple(line)
            line = [Run(text, run.confidence)]
    yield tuple(line)


def _stage(score: StageScore) -> _Stage:
    return score.stage, score.kind, score.query


def _stage_names(hits: Sequence[Hit]) -> list[_Stage]:
    """Every stage that any of the hits went through: legs and fusion, query after query, then the rest."""
    names = dict.fromkeys(_stage(score) for hit in hits for score in hit.trace)
    queries = list(dict.fromkeys(query for _, _, query in names if query is not None))
    return sorted(
        names, key=lambda name: (len(queries) if name[2] is None else queries.index(name[2]), _ORDER[name[1]])
    )


def _stage_rows(hits: Sequence[Hit], stages: Sequence[_Stage]) -> Iterator[StageRow]:
    """The best hit's trace, with bars relative to the best fused score among the hits."""
    seen = {_stage(score): score for hit in reversed(hits) for score in hit.trace}
    found = {name for name in stages if name[1] == "left out"}.union(map(_stage, hits[0].trace))
    bars: dict[_Stage, tuple[tuple[int, float], ...]] = {}
    for name in stages:
        if name[1] in _JOINS:
            parts = _parts(name, hits, stages)
            bars = {part: (share,) for part, share in parts.items()} | bars | {name: tuple(parts.values())}
    for name in stages:
        yield _stage_row(seen[name], name in found, bars.get(name, ()))


def _parts(name: _Stage, hits: Sequence[Hit], stages: Sequence[_Stage]) -> dict[_Stage, tuple[int, float]]:
    """What each stage that this one joins gave the best hit: its number, its share of the best score."""
    _, kind, query = name
    found = {_stage(score): score.part or 0.0 for score in hits[0].trace}
    top = max(score.score for hit in hits for score in hit.trace if _stage(score) == name)
    joined = [part for part in stages if part[1] == _JOINS[kind] and query in (part[2], None)]
    return {
        part: (number, min(max(found[part], 0.0) / top, 1.0))
        for number, part in enumerate(joined, 1)
        if top > 0 and part in found
    }


def _stage_row(score: StageScore, found: bool, shares: tuple[tuple[int, float], ...]) -> StageRow:
    kind = score.kind if score.query is None else f"{score.kind} for “{score.query}”"
    row = StageRow(score.stage, kind, why=score.why or "")
    values = {"rank": score.rank, "score": score.score, "weight": score.weight, "shares": shares}
    return replace(row, **values, remark=remark(score)) if found else row


def remark(score: StageScore) -> str:
    """What a reranker's score means, and how much it read of a passage not read as a whole at once."""
    said: list[str] = []
    if score.probability is not None:
        said.append(f"probability {score.probability:.3f}")
    if score.read is not None:
        windows = f" in {score.windows} windows" if (score.windows or 1) > 1 else ""
        said.append(f"read {score.read} of {score.tokens} tokens{windows}")
    return ", ".join(said)


def _hit_row(hit: Hit, stages: Sequence[_Stage]) -> HitRow:
    ranks = {_stage(score): score.rank for score in hit.trace}
    snippet = " ".join(hit.passage.llm_text.split())
    cut = snippet if len(snippet) <= _SNIPPET else snippet[: _SNIPPET - 1].rstrip() + "…"
    return HitRow(where(hit.passage), cut, hit.score, tuple(ranks.get(name) for name in stages))


def _data_uri(image: bytes) -> str:
    """The image at reading size, as a data URI."""
    module = require("PIL.Image", extra="ocr")
    with module.open(io.BytesIO(image)) as picture:
        picture = picture.convert("L" if picture.mode in ("1", "L", "I;16") else "RGB")
        picture.thumbnail((_IMAGE_WIDTH, 2 * _IMAGE_WIDTH))
        out = io.BytesIO()
        picture.save(out, "WEBP", quality=60, method=6)
    return "data:image/webp;base64," + base64.b64encode(out.getvalue()).decode("ascii")
