"""What was found, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from rag_plugins.evidence import origin, remark, where
from rag_plugins.show.tables import listing
from rag_plugins.types import Hit, Hits, JsonValue, StageScore, TermMatch

__all__ = ["hit_json", "show_hits"]


def show_hits(hits: Hits) -> None:
    """Passages as the LLM would read them, where they are from, and what each stage made of them."""
    console = Console()
    for number, hit in enumerate(hits, 1):
        title = Text(f"{number}. {where(hit.passage)} · {origin(hit.passage)} · {hit.score:.3f}")
        console.print(title, style="bold", soft_wrap=True)
        console.print(Panel(Text(hit.passage.llm_text)))
        for query, trace in groupby(hit.trace, lambda score: score.query):
            asked = f"{query}: " if query else ""
            stages = (_stage(score) for score in trace if score.kind != "left out")
            console.print(Text(asked + " · ".join(stages), style="dim"))
        for leg, terms in hit.terms.items():
            for query, matches in groupby(terms, lambda match: match.query):
                console.print(_matches(f"{leg}, {query}" if query else leg, list(matches)))
    for line in _reasons(hits):
        console.print(Text(line, style="dim"))
    for notice in hits.notices:
        console.print(Text(notice, style="yellow"), soft_wrap=True)
    if not hits:
        console.print("Nothing was found.")


def _stage(score: StageScore) -> str:
    weight = f"weight {score.weight:.3g}, " if score.kind == "leg" and score.weight is not None else ""
    part = "" if score.part is None else f" ({weight}+{score.part:.3f})"
    said = remark(score)
    stage = score.stage + {"shortlist": " shortlist", "queries": " of the queries"}.get(score.kind, "")
    return f"{stage} #{score.rank} {score.score:.3f}{part}{said and ', ' + said}"


def _reasons(hits: Hits) -> Iterator[str]:
    """Why each leg weighs what it does, or was left out: a line each, since that is the same for all hits."""
    told = dict.fromkeys(
        (score.query, score.stage, score.kind == "left out", score.why)
        for hit in hits
        for score in hit.trace
        if score.why
    )
    for query, leg, left_out, why in told:
        asked = f"{query}: " if query else ""
        yield f"{asked}{leg} {'left out' if left_out else 'weighed'}: {why}"


def _matches(leg: str, matches: Sequence[TermMatch]) -> Table:
    """The terms of one leg: what the query gave each, what the passage, and what came of it."""
    table = listing(f"{leg}: terms that match", "term", "query", "passage", "score", "by")
    for match in matches:
        numbers = (match.query_weight, match.document_weight, match.score)
        origin = match.rule or ("expansion" if match.expanded else "")
        table.add_row(Text(match.term), *(f"{number:.3f}" for number in numbers), Text(origin))
    return table


def hit_json(hit: Hit) -> JsonValue:
    """A hit as plain values."""
    from rag_plugins.faces import details, public_metadata

    return {"text": hit.passage.llm_text, "metadata": public_metadata(hit.passage), **details(hit)}
