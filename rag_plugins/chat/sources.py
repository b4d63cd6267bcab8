"""Sources of an answer: each page of a context, as the model was given it, with boxes, doubts and traces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rag_plugins.context import Block, Context
from rag_plugins.evidence import StageRow, origin, stage_names, stage_rows, where
from rag_plugins.types import Box, Hit, Passage

__all__ = ["Found", "Line", "Source", "sources_of"]


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a page, and where it stands."""

    text: str
    box: Box


@dataclass(frozen=True, slots=True)
class Found:
    """A hit of a source: its final score and its trace."""

    score: float
    trace: tuple[StageRow, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """One page: `text` is exactly what stands of it in the prompt, `image` the asset of its picture."""

    number: int
    name: str
    origin: str
    text: str
    image: str | None
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]
    hits: tuple[Found, ...]


def sources_of(context: Context, hits: Sequence[Hit]) -> tuple[Source, ...]:
    """The sources of a context that was made of these hits, in its order."""
    return tuple(_source(block, context, hits) for block in context.blocks)


def _source(block: Block, context: Context, hits: Sequence[Hit]) -> Source:
    first = block.passages[0]
    mine = {passage.id for passage in block.passages}
    (cited,) = context.cite(block.start, block.end) or (first.cite(0, 0),)
    names = stage_names(hits)
    return Source(
        block.number,
        where(first),
        origin(first),
        context.text[block.start : block.end],
        cited.page_image,
        cited.boxes,
        tuple(line for passage in block.passages for line in _lines(passage)),
        tuple(
            Found(hit.score, tuple(stage_rows(hit, hits, names))) for hit in hits if hit.passage.id in mine
        ),
    )


def _lines(passage: Passage) -> Iterator[Line]:
    words = passage.provenance.words if passage.provenance else ()
    for number in dict.fromkeys(word.line for word in words):
        line = [word for word in words if word.line == number]
        text = passage.llm_text[line[0].start : line[-1].end]
        box = line[0].box
        for word in line[1:]:
            box = box.union(word.box)
        yield Line(text, box)
