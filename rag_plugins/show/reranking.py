"""A rerank stage that was tuned: its probabilities, what `min_score` does, its blend."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rag_plugins.show.tables import listing

if TYPE_CHECKING:
    from rag_plugins.evaluation.tuning.blending import Blend
    from rag_plugins.evaluation.tuning.calibration import Calibration
    from rag_plugins.evaluation.tuning.reranking import RerankTuning

__all__ = ["show_reranking"]


def show_reranking(tuning: RerankTuning) -> None:
    """How many queries were used and why not the others; then what was found out."""
    console = Console()
    console.print(Text(f"Rerank stage {tuning.stage}, {tuning.name}; queries:", style="bold"))
    said = {
        "used": tuning.queries.used,
        "whose relevant documents are not in the collection: nothing fitted on them": tuning.queries.absent,
        "without a line in qrels.tsv: left out": tuning.queries.unjudged,
        "for which the stage read nothing: left out": tuning.queries.unread,
    }
    for what, count in said.items():
        if count:
            console.print(f"  {count} {what}", highlight=False)
    if tuning.calibration:
        _show_calibration(console, tuning.calibration)
    if tuning.blend:
        _show_blend(console, tuning.blend)


def _show_calibration(console: Console, fitted: Calibration) -> None:
    title = f"Probabilities of {fitted.pairs} passages read, {fitted.base_rate:.1%} of them relevant"
    table = listing(title, "probabilities", "Brier score", "calibration error")
    constant = fitted.base_rate * (1.0 - fitted.base_rate)
    table.add_row("always the share that is relevant", f"{constant:.4f}", "0.0000")
    table.add_row(f"before: {fitted.scaling}", f"{fitted.before.brier:.4f}", f"{fitted.before.error:.4f}")
    table.add_row("isotonic, on other queries", f"{fitted.after.brier:.4f}", f"{fitted.after.error:.4f}")
    console.print(table)
    console.print(_cuts(fitted))
    suggested = fitted.suggested
    if suggested is None:
        console.print("No min_score tried keeps 95 % of the relevant passages.", highlight=False)
    else:
        console.print(
            f"suggested: min_score = {suggested:g}, the highest tried that keeps 95 % of what is relevant",
            highlight=False,
        )


def _cuts(fitted: Calibration) -> Table:
    title = f"What min_score does; of {fitted.vacant} queries nothing relevant was read"
    table = listing(title, "min_score", "relevant passages kept", "of those come out empty")
    for cut in fitted.cuts:
        emptied = "–" if cut.emptied is None else f"{cut.emptied:.1%}"
        mark = "bold" if cut.min_score == fitted.suggested else None
        table.add_row(f"{cut.min_score:g}", f"{cut.kept:.1%}", emptied, style=mark)
    return table


def _show_blend(console: Console, blend: Blend) -> None:
    table = listing(f"Blend, {blend.queries} queries", "blend", "nDCG@10", "gain ± standard error", "")
    for share, ndcg, error in zip(blend.shares, blend.ndcg, blend.errors, strict=True):
        marks = {"present": blend.present, "chosen": blend.chosen}
        mark = ", ".join(name for name, marked in marks.items() if marked == share)
        gain = "" if share == blend.present else f"{ndcg - blend.at(blend.present):+.4f} ± {error:.4f}"
        table.add_row(f"{share:g}", f"{ndcg:.4f}", gain, mark, style="bold" if mark else None)
    console.print(table)
    stays = "stays: no gain is above two standard errors"
    console.print(
        f"blend = {blend.chosen:g} {stays if blend.chosen == blend.present else 'is better'}. Chosen on one "
        f"half of the queries, measured on the other: {blend.fresh_gain:+.4f} nDCG@10",
        highlight=False,
    )
