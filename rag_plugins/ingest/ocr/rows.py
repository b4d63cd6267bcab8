"""Lines into rows and columns: tables keep their rows, whatever an engine made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import attrgetter

from rag_plugins.ingest.text import Lines, Piece
from rag_plugins.types import Box

__all__ = ["bounds", "in_reading_order", "in_rows"]

CELL = 10.0
"""A column of lines no longer than this, in line heights, may be one of a table: some 15 Latin letters."""

PROSE = 20.0
"""Three lines or more of this length are running text, which stays in its column."""


@dataclass(frozen=True, slots=True)
class _Line:
    pieces: list[Piece]
    box: Box


@dataclass(frozen=True, slots=True)
class _Block:
    """Some lines; `length` is that of their mean line, in line heights."""

    lines: Sequence[_Line]
    box: Box
    length: float

    @property
    def tall(self) -> bool:
        return self.length > CELL and len(self.lines) > 2

    @property
    def prose(self) -> bool:
        return self.length >= PROSE and len(self.lines) > 2


def bounds(boxes: Iterable[Box]) -> Box:
    """The smallest box around all of them; there must be one."""
    return reduce(Box.union, boxes)


def in_rows(paragraphs: Iterable[Lines], shape: float) -> list[Lines]:
    """These paragraphs, with what are the columns of a table joined to lines; `shape` is width by height.

    A page with a table and no columns of text is read from top to bottom.
    """
    blocks = [_block([*map(_line, paragraph)], shape) for paragraph in paragraphs if paragraph]
    tables = _tables(blocks)
    if len(tables) < len(blocks) and not _in_columns(blocks):
        tables.sort(key=lambda table: min(block.box.top for block in table))
    return [paragraph for table in tables for paragraph in _joined(table)]


def in_reading_order(lines: Iterable[list[Piece]], shape: float) -> list[Lines]:
    """Paragraphs of pieces of lines that were found anywhere: by columns of text, each from top to bottom.

    The recursive X-Y cut (Nagy and Seth 1984); only running text makes a column, cells stay in their rows.
    """
    return _paragraphs(_cut([*map(_line, lines)], shape))


def _line(pieces: list[Piece]) -> _Line:
    return _Line(pieces, bounds(piece.box for piece in pieces))


def _block(lines: Sequence[_Line], shape: float) -> _Block:
    lengths = [shape * (line.box.right - line.box.left) / max(1e-6, _height(line.box)) for line in lines]
    return _Block(lines, bounds(line.box for line in lines), sum(lengths) / len(lengths))


def _tables(blocks: Iterable[_Block]) -> list[list[_Block]]:
    """Blocks in groups: those that are columns of one table together, directly or through others."""
    tables: list[list[_Block]] = []
    for block in blocks:
        mine = [table for table in tables if any(_side_by_side(block, other) for other in table)]
        if not mine:
            tables.append([block])
            continue
        for table in mine[1:]:
            mine[0].extend(table)
            tables.remove(table)
        mine[0].append(block)
    return tables


def _side_by_side(one: _Block, other: _Block) -> bool:
    if not _apart(one.box, other.box) or min(one.length, other.length) > CELL or one.prose or other.prose:
        return False
    return any(_level(line.box, beside.box) for line in one.lines for beside in other.lines)


def _in_columns(blocks: Iterable[_Block]) -> bool:
    tall = [block for block in blocks if block.tall]
    return any(
        _apart(one.box, other.box) and _overlap(one.box, other.box) > 0 for one in tall for other in tall
    )


def _joined(table: Sequence[_Block]) -> list[Lines]:
    if len(table) == 1:
        return [[line.pieces for line in table[0].lines]]
    return _paragraphs(_rows(line for block in table for line in block.lines))


def _cut(lines: list[_Line], shape: float) -> list[list[_Line]]:
    """Rows of lines, in reading order."""
    if len(lines) < 2:
        return [lines] if lines else []
    for left, right, _ in _gaps(lines, attrgetter("box.left"), attrgetter("box.right")):
        if _block(left, shape).tall and _block(right, shape).tall:
            return _cut(left, shape) + _cut(right, shape)
    across = _gaps(lines, attrgetter("box.top"), attrgetter("box.bottom"))
    if not across:
        return _rows(lines)
    above, below, _ = max(across, key=lambda gap: gap[2])
    return _cut(above, shape) + _cut(below, shape)


def _gaps(
    lines: list[_Line], start: Callable[[_Line], float], end: Callable[[_Line], float]
) -> list[tuple[list[_Line], list[_Line], float]]:
    """Where the lines, ordered by `start`, fall apart: those before, those after, how far apart."""
    ordered = sorted(lines, key=start)
    gaps: list[tuple[list[_Line], list[_Line], float]] = []
    reached = end(ordered[0])
    for place, line in enumerate(ordered):
        if start(line) > reached:
            gaps.append((ordered[:place], ordered[place:], start(line) - reached))
        reached = max(reached, end(line))
    return gaps


def _rows(lines: Iterable[_Line]) -> list[list[_Line]]:
    rows: list[list[_Line]] = []
    for line in sorted(lines, key=lambda line: line.box.top + line.box.bottom):
        mine = next((row for row in rows[-3:] if _fits(line, row)), None)
        if mine is None:
            rows.append([line])
        else:
            mine.append(line)
    return rows


def _fits(line: _Line, row: Sequence[_Line]) -> bool:
    return all(_apart(line.box, other.box) for other in row) and any(
        _level(line.box, other.box) for other in row
    )


def _paragraphs(rows: Iterable[Sequence[_Line]]) -> list[Lines]:
    """A new one where more than a row's height lies between, and at the head of a column."""
    paragraphs: list[Lines] = []
    last = Box(0, 0, 0, 0)
    for row in rows:
        box = bounds(line.box for line in row)
        if not paragraphs or box.top - last.bottom > _height(box) or box.bottom < last.top:
            paragraphs.append([])
        cells = sorted(row, key=attrgetter("box.left"))
        paragraphs[-1].append([piece for line in cells for piece in line.pieces])
        last = box
    return paragraphs


def _level(one: Box, other: Box) -> bool:
    """Whether two lines stand on one row: over half of the lower one beside the other, of like height."""
    low, high = sorted((_height(one), _height(other)))
    return 2 * _overlap(one, other) > low and 2 * low >= high


def _overlap(one: Box, other: Box) -> float:
    return min(one.bottom, other.bottom) - max(one.top, other.top)


def _apart(one: Box, other: Box) -> bool:
    return one.right <= other.left or other.right <= one.left


def _height(box: Box) -> float:
    return box.bottom - box.top
