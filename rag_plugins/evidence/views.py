"""From hits to what the report shows of one question."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

from rag_plugins.evidence import Run, StageRow, lines, name_of, origin, stage_names, stage_rows, where
from rag_plugins.evidence.traces import StageName
from rag_plugins.pictures import page_image
from rag_plugins.types import Box, Hit, Passage, embed_text

__all__ = ["AnswerView", "HitRow", "look"]

_IMAGE_WIDTH = 1000
_SNIPPET = 90


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
    stages = stage_names(hits)
    return AnswerView(
        question,
        remark,
        place=where(best),
        origin=origin(best),
        image=_data_uri(image) if image else "",
        boxes=best.provenance.boxes() if best.provenance else (),
        lines=tuple(lines(best)),
        retrieval_text=_other_side(best),
        stages=tuple(stage_rows(hits[0], hits, stages)),
        score=hits[0].score,
        hits=tuple(_hit_row(hit, [name for name in stages if name[1] != "left out"]) for hit in hits),
    )


def _other_side(passage: Passage) -> str:
    """What retrieval reads, where that differs by more than line ends from what the LLM reads."""
    view = embed_text(passage.views)
    return view.text if view and view.text.split() != passage.llm_text.split() else ""


def _hit_row(hit: Hit, stages: Sequence[StageName]) -> HitRow:
    ranks = {name_of(score): score.rank for score in hit.trace}
    snippet = " ".join(hit.passage.llm_text.split())
    cut = snippet if len(snippet) <= _SNIPPET else snippet[: _SNIPPET - 1].rstrip() + "…"
    return HitRow(where(hit.passage), cut, hit.score, tuple(ranks.get(name) for name in stages))


def _data_uri(image: bytes) -> str:
    """The image at reading size, as a data URI; "" for what is none."""
    picture = page_image(image)
    if picture is None:
        return ""
    picture.thumbnail((_IMAGE_WIDTH, 2 * _IMAGE_WIDTH))
    out = io.BytesIO()
    picture.save(out, "WEBP", quality=60, method=6)
    return "data:image/webp;base64," + base64.b64encode(out.getvalue()).decode("ascii")
