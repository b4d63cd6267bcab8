"""The little Markdown of the example documents: what a page consists of, before anything is drawn."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

PAGE_BREAK = "==="

_PREFIXES = {"# ": "title", "## ": "section", "### ": "subsection", "> ": "box", "!figure ": "figure"}
_ITEM = re.compile(r"(-|\d+\.) +(.*)")
_RULE = re.compile(r"[|\- ]+")


@dataclass(frozen=True, slots=True)
class Block:
    """One paragraph, heading, list item, boxed warning or figure; `text` may carry **bold** runs."""

    kind: str
    text: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells; `head` is empty for a form, which has none."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def read_pages(path: Path) -> list[list[Block | Table]]:
    """The pages of a source file, in order."""
    pages = path.read_text(encoding="utf-8").split(f"\n{PAGE_BREAK}\n")
    return [list(_blocks(page)) for page in pages]


def bold_runs(text: str) -> Iterator[tuple[str, bool]]:
    """Split text at ** into (text, whether it is bold)."""
    for number, run in enumerate(text.split("**")):
        if run:
            yield run, number % 2 == 1


def _blocks(page: str) -> Iterator[Block | Table]:
    lines = [line.rstrip() for line in page.splitlines() if line.strip()]
    for is_table, group in groupby(lines, key=lambda line: line.startswith("|")):
        if is_table:
            yield from _tables(list(group))
        else:
            yield from map(_block, group)


def _block(line: str) -> Block:
    for prefix, kind in _PREFIXES.items():
        if line.startswith(prefix):
            return Block(kind, line.removeprefix(prefix))
    if item := _ITEM.fullmatch(line):
        return Block("item", item[2], label="•" if item[1] == "-" else item[1])
    return Block("paragraph", line)


def _tables(lines: list[str]) -> Iterator[Table]:
    """One table per header rule, so that a form may stand directly above a table."""
    rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines]
    rules = [number for number, line in enumerate(lines) if _RULE.fullmatch(line)]
    if not rules:
        yield Table((), tuple(rows))
        return
    if rules[0] > 1:
        yield Table((), tuple(rows[: rules[0] - 1]))
    yield Table(rows[rules[0] - 1], tuple(rows[rules[0] + 1 :]))
