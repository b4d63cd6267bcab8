"""Hits to the part of a prompt that holds them."""

from __future__ import annotations

import secrets
from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TypeAlias

from rag_plugins.context.layout import Context, lay_out
from rag_plugins.context.merging import Excerpt, place
from rag_plugins.context.tokens import estimate_tokens
from rag_plugins.errors import BadInput, SideError
from rag_plugins.ingest.sentences import ATOM
from rag_plugins.types import EmbedImage, EmbedText, Hit, Passage

__all__ = ["PagePassages", "format_context"]

PagePassages: TypeAlias = Callable[[str, int], Iterable[Passage]]
"""All passages of a page, by the document's id and the page's number."""

_LEAST = 8
"""Words that are left of a passage that is cut; with less it is left out."""


def format_context(
    hits: Iterable[Hit],
    *,
    pages: PagePassages | None = None,
    budget: int | None = None,
    count_tokens: Callable[[str], int] = estimate_tokens,
    flag_below: float = 0.5,
) -> Context:
    """Text for a prompt: a block a page with source and number, in the order of the best hit of each.

    Blocks stand between lines that hold a random nonce, and their text is marked as untrusted: this marks
    text, it does not make it safe. Within a block passages have the page's order, and what they share stands
    once. With `pages`, which finds all passages of a page, blocks hold whole pages (see
    `RagIndex.context`). Words recognised with a confidence below `flag_below` (0 to 1) are flagged.

    The text has at most `budget` tokens, as `count_tokens` counts: the last passage that fits in part is cut,
    those after it are left out, and a notice says so. Raises `BadInput`, also for a budget that no passage
    fits in.
    """
    if not 0.0 <= flag_below <= 1.0:
        raise BadInput(f"flag_below is {flag_below}: expected 0 to 1")
    if budget is not None and budget < 1:
        raise BadInput(f"budget is {budget} tokens: expected 1 or more, or None for no limit")
    given = {hit.passage.id: hit.passage for hit in map(_checked, hits)}
    passages = [*_whole_pages(given.values(), pages)] if pages else [*given.values()]
    readable = [Excerpt.whole(passage) for passage in passages if passage.llm_text.strip()]
    nonce = secrets.token_hex(8)

    def make(excerpts: Sequence[Excerpt]) -> Context:
        context = lay_out(excerpts, nonce, flag_below)
        return replace(context, tokens=count_tokens(context.text))

    context = make(readable) if budget is None else _within(budget, readable, make)
    if len(readable) == len(passages):
        return context
    blank = f"{len(passages) - len(readable)} passages have no text for the LLM"
    return replace(context, notices=(*context.notices, blank))


def _checked(hit: object) -> Hit:
    if not isinstance(hit, Hit):
        error = SideError if isinstance(hit, EmbedText | EmbedImage) else BadInput
        raise error(f"got {type(hit).__name__}, expected Hit: give what RagIndex.search gives")
    return hit


def _whole_pages(passages: Iterable[Passage], pages: PagePassages) -> Iterator[Passage]:
    """The passages and the others of their pages, page by page; those that were found come first."""
    found: dict[Hashable, dict[str, Passage]] = {}
    for passage in passages:
        found.setdefault(place(passage), {})[passage.id] = passage
    for where, group in found.items():
        first = next(iter(group.values()))
        page = first.provenance.page if first.provenance and where != first.id else None
        others = pages(first.doc_id, page) if page is not None else ()
        same = sorted((other for other in others if place(other) == where), key=_start)
        yield from (group | {other.id: other for other in same if other.id not in group}).values()


def _start(passage: Passage) -> int:
    return passage.provenance.start or 0 if passage.provenance else 0


def _within(
    budget: int, excerpts: Sequence[Excerpt], make: Callable[[Sequence[Excerpt]], Context]
) -> Context:
    """A context of the first excerpts that fit, the last of them cut where that makes it fit."""
    whole = make(excerpts)
    if whole.tokens <= budget:
        return whole
    fit = bisect_right(range(len(excerpts)), budget, key=lambda n: make(excerpts[:n]).tokens) - 1
    kept, last = excerpts[:fit], excerpts[fit]
    ends = [atom.end() for atom in ATOM.finditer(last.passage.llm_text)]
    least = min(_LEAST, len(ends)) if kept else 1
    cuts = [replace(last, end=end) for end in ends[least - 1 : -1]]
    part = bisect_right(cuts, budget, key=lambda cut: make([*kept, cut]).tokens)
    if not kept and not part:
        least_text = make(cuts[:1] or [last])
        raise BadInput(f"budget is {budget} tokens: a first word in its frame takes {least_text.tokens}")
    context = make([*kept, cuts[part - 1]] if part else kept)
    told = f"budget of {budget} tokens: of {len(excerpts)} passages {len(kept)} are whole"
    return replace(context, notices=(*context.notices, f"{told}{', one more is cut' if part else ''}"))
