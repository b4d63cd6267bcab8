"""An answer on the terminal: the passage, the page it is from, and the trace as a table."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from rag_plugins.evidence import StageRow
from rag_plugins.evidence.views import AnswerView, HitRow
from rag_plugins.ingest.indexer import IngestSummary

__all__ = ["show_answer", "show_summary"]


def show_summary(console: Console, summary: IngestSummary) -> None:
    """How ingestion went, in a line, and a line for each thing that could not be read."""
    console.print(
        f"Read {summary.documents} documents, {summary.pages} pages ({summary.recognised} by OCR), "
        f"{summary.passages} passages in {summary.seconds:.1f} s: {summary.pages_per_second:.2g} pages/s.",
        highlight=False,
    )
    for bad in summary.bad:
        console.print(Text(f"could not read {bad}", style="red"))


def show_answer(console: Console, number: int, view: AnswerView) -> None:
    """One question. Texts are printed as they are: OCR that looks like console markup stays text."""
    console.print()
    console.print(Text(f"{number}. {view.question}", style="bold cyan"))
    console.print(Text(view.remark, style="dim"))
    if not view.hits:
        console.print(Text("Nothing was found.", style="red"))
        return
    console.print(Panel(_passage(view), title=Text(view.place, style="bold"), title_align="left"))
    console.print(
        Text(f"{view.origin}; the words it is unsure of are underlined" if view.doubtful else view.origin)
    )
    console.print(_trace(view))
    for reason in _reasons(view):
        console.print(reason)
    for hit in view.hits[1:]:
        console.print(_also(hit))


def _passage(view: AnswerView) -> Text:
    text = Text()
    for number, line in enumerate(line for line in view.lines if any(run.text for run in line)):
        text.append("\n" if number else "")
        for run in line:
            text.append(run.text, style="" if run.confidence is None else "underline yellow")
    return text


def _trace(view: AnswerView) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("stage", "", "rank", "score", "weight", "part of the fused score"):
        table.add_column(name, justify="left" if name in ("stage", "") else "right")
    for stage in view.ran:
        table.add_row(*_cells(stage))
    table.add_row("final", "", "1", f"{view.score:.3f}", "", "", style="bold")
    return table


def _reasons(view: AnswerView) -> Iterator[Text]:
    """Why each leg weighs what it does, or was left out, a line each."""
    for stage in view.stages:
        if stage.why:
            done = "weighed" if stage.rank != 0 else stage.kind
            yield Text(f"{stage.name} {done}: {stage.why}", style="dim")


def _cells(stage: StageRow) -> list[Text]:
    if stage.rank is None or stage.score is None:
        return [Text(stage.name), Text(stage.kind), Text("–"), Text("not found"), Text(""), Text("")]
    weight = "" if stage.weight is None else f"{stage.weight:.2f}"
    shares = " + ".join(f"{100 * share:.0f} %" for _, share in stage.shares)
    kind = f"{stage.kind}, {stage.remark}" if stage.remark else stage.kind
    return [Text(cell) for cell in (stage.name, kind, str(stage.rank), f"{stage.score:.3f}", weight, shares)]


def _also(hit: HitRow) -> Text:
    text = Text(f"   {hit.score:.3f}  {hit.place}: ", style="dim")
    return text.append(hit.snippet, style="dim")
