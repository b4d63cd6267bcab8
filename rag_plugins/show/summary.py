"""How ingestion went."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rag_plugins.ingest.indexer import IngestSummary

__all__ = ["show_summary"]


def _confidence(summary: IngestSummary) -> str:
    return "" if summary.confidence is None else f", mean confidence {summary.confidence:.2f}"


def _failed(summary: IngestSummary) -> str:
    pages = sum(bad.page is not None for bad in summary.bad)
    files = len(summary.bad) - pages
    return f"{pages} page{'s' * (pages != 1)}, {files} file{'s' * (files != 1)}"


def show_summary(summary: IngestSummary, total: int, weights: Mapping[str, str]) -> None:
    """How ingestion went, then what could not be read; `total` passages are now in the collection.

    `weights` says for each leg where its model's weights came from.
    """
    console = Console()
    table = Table(box=None, show_header=False)
    rows = {
        "documents": f"{summary.documents} stored, {summary.replaced} of them replaced; "
        f"{summary.unchanged} unchanged",
        "pages": str(summary.pages),
        "  by text layer": str(summary.text_layer),
        "  by OCR": f"{summary.recognised}{_confidence(summary)}",
        "  plain text": str(summary.plain),
        "  without text": str(summary.pictures),
        **({"removed": f"{summary.removed} control characters"} if summary.removed else {}),
        "failed": _failed(summary),
        "passages": f"{summary.passages} stored, {total} in the collection",
        "time": f"{summary.seconds:.1f} s, {summary.pages_per_second:.1f} pages/s",
        **{f"{leg} weights": f"from {source}" for leg, source in weights.items()},
    }
    for name, value in rows.items():
        table.add_row(name, value)
    console.print(table)
    for bad in summary.bad:
        console.print(Text(f"  {bad}", style="red"), soft_wrap=True)
