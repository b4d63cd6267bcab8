"""What was measured: stages, funnels, prefixes of a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from rag_plugins.show.tables import listing

if TYPE_CHECKING:
    from rag_plugins.evaluation import Containment, Evaluation, FunnelUse, Judged
    from rag_plugins.evaluation.probe import Probe
    from rag_plugins.funnel import Funnel
    from rag_plugins.funnel.tuning import Tuning

__all__ = ["show_evaluation", "show_probe", "show_tuning"]


def show_evaluation(result: Evaluation) -> None:
    """A line a stage, a column a measure, funnels on and off; funnels, times, what became of answers."""
    console = Console()
    made = {"known items": ", made of the passages", "LLM": ", made by an LLM"}
    title = f"{result.queries} queries{made.get(result.judged.source, '')}, {result.passages} passages"
    table = Table(title=title)
    table.add_column("stage", overflow="fold")  # Where there is no room, a model's long name gives way.
    for measure in result.measures:
        table.add_column(measure, justify="right", no_wrap=True)
    for name, values in _stage_rows(result):
        table.add_row(name, *(f"{value:.3f}" for value in values.values()))
    console.print(table)
    for leg, use in result.funnels.items():
        console.print(f"{leg}: {_funnel(use)}", highlight=False)
    for figure, values in (("p50", result.ms_per_query), ("p95", result.ms_p95)):
        times = ", ".join(f"{stage} {ms:.1f}" for stage, ms in values.items())
        console.print(f"{figure} ms per query: {times}", highlight=False)
    if result.containment:
        _show_containment(console, result.containment)
    _show_left_out(console, result.judged)


def _show_containment(console: Console, found: Containment) -> None:
    table = listing(
        f"The answer is there, of {found.questions} questions with known answers", "step", *found.found
    )
    table.add_row("in a passage of the collection", *(f"{found.transcribed:.3f}" for _ in found.found))
    table.add_row("in the ten best hits", *(f"{share:.3f}" for share in found.found.values()))
    for budget in next(iter(found.contexts.values())):
        shares = (f"{found.contexts[stage][budget]:.3f}" for stage in found.found)
        table.add_row(f"in a context of {budget} tokens", *shares)
    console.print(table)


def _show_left_out(console: Console, judged: Judged) -> None:
    def told(text: str) -> None:
        console.print(text, highlight=False, markup=False)

    if judged.source == "known items":
        told("Made queries compare settings; they favour words, and do not say how good answers are.")
    if judged.unheard:
        first = judged.queries[judged.unheard[0]]
        told(f"{len(judged.unheard)} questions have an answer that stands in no passage; the first: {first}")
    if judged.absent:
        first = next(iter(judged.absent.values()))
        told(f"{len(judged.absent)} questions are about what is not in the collection; the first: {first}")


def _stage_rows(result: Evaluation) -> Iterator[tuple[str, Mapping[str, float]]]:
    """Each stage, and below it the same without funnels where that may differ."""
    for stage in result.stages.all:
        yield stage.label, stage.means
        without = result.funnel_off and result.funnel_off.named(stage.label)
        if without:
            yield f"{stage.label}, funnel off", without.means


def _funnel(use: FunnelUse | None) -> str:
    if use is None:
        return "no funnel, searched exactly (by default from 500 passages on)"
    rotated = ", prefixes rotated" if use.prefixes.rotation else ""
    return (
        f"{use.prefixes.funnel}{rotated}; {use.recall:.3f} of the exact search's best 10 found; "
        f"p50 {use.ms:.2f} ms, {use.ms_off:.2f} ms with the funnel off"
    )


def show_tuning(tuning: Tuning) -> None:
    """For each schedule of widths its cheapest funnel that will do; what each prefix alone would give."""
    console = Console()
    title = f"{tuning.rows} vectors of {tuning.dim} numbers, {tuning.queries} queries"
    table = listing(title, "funnel (kept)", f"recall@{tuning.k}", "µs, estimated", "", wrapped=0)
    for trial in tuning.table:
        row = (_stages(trial.funnel), f"{trial.recall:.3f}", f"{trial.cost:.0f}")
        mark = "chosen" if trial.funnel == tuning.funnel else ""
        table.add_row(*row, mark, style="bold" if mark else None)
    table.add_row("exact search", "1.000", f"{tuning.exact_cost:.0f}", "" if tuning.funnel else "chosen")
    console.print(table)
    stored = listing("A prefix stored alone (store_width)", "width", f"recall@{tuning.k}", "MB")
    for alone in tuning.alone:
        stored.add_row(str(alone.width), f"{alone.recall:.3f}", f"{alone.bytes_stored / 1e6:.1f}")
    console.print(stored)
    verdict = (
        f"funnel = {tuning.funnel.to_json()}" if tuning.funnel else "no funnel is cheaper: searched exactly"
    )
    console.print(f"recall {tuning.target:g} aimed at: {verdict}", highlight=False)


def _stages(funnel: Funnel) -> str:
    return str(funnel).removeprefix("funnel ").replace(" kept", "")


def show_probe(model: str, probe: Probe) -> None:
    """Recall of each prefix, as it is, of as many numbers drawn at random, and rotated; then the verdict."""
    console = Console()
    title = f"{model}: {probe.dim} numbers; {probe.texts} texts, {probe.queries} queries; recall@10"
    table = listing(title, "width", "prefix", "random", "rotated", "in top 200", "rotated, in top 200", "")
    for prefix in probe.prefixes:
        shares = (prefix.raw, prefix.random, prefix.rotated, prefix.raw_inside, prefix.rotated_inside)
        marks = [
            *(["declared"] if prefix.width in probe.declared else []),
            *(["trained"] if prefix.trained else []),
        ]
        table.add_row(str(prefix.width), *(f"{share:.3f}" for share in shares), ", ".join(marks))
    console.print(table)
    console.print(f"Matryoshka: {'yes' if probe.matryoshka else 'no'}. {probe.advice}", highlight=False)
