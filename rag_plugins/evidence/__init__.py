"""What a page or a terminal shows of a hit: its text with doubts, its place, its trace."""

from rag_plugins.evidence.texts import DOUBT, Run, lines, origin, runs, where
from rag_plugins.evidence.traces import StageRow, name_of, remark, stage_names, stage_rows

__all__ = [
    "DOUBT",
    "Run",
    "StageRow",
    "lines",
    "name_of",
    "origin",
    "remark",
    "runs",
    "stage_names",
    "stage_rows",
    "where",
]
