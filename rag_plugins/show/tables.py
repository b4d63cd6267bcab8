"""How tables look."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

__all__ = ["listing"]


def listing(title: str, *columns: str, wrapped: int | None = None) -> Table:
    """The first column keeps its lines whole, or all but the one that is `wrapped` do."""
    table = Table(title=Text(title), title_justify="left", box=SIMPLE_HEAD)
    for number, column in enumerate(columns):
        table.add_column(column, no_wrap=number == 0 if wrapped is None else number != wrapped)
    return table
