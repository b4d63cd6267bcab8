"""Measures of rankings, as ir-measures computes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import fmean
from typing import TypeAlias

from rag_plugins.errors import BadInput, require

__all__ = ["MEASURES", "Measures", "Qrels", "Run", "measure", "measure_each", "named"]

Measures: TypeAlias = Mapping[str, tuple[str, int]]
"""Our names; ir-measures' names and cut-offs."""

MEASURES: Measures = {
    "nDCG@10": ("nDCG", 10),
    "MRR@10": ("RR", 10),
    "MAP@100": ("AP", 100),
    "Recall@10": ("R", 10),
    "Recall@100": ("R", 100),
}

_KNOWN = {"nDCG": "nDCG", "MRR": "RR", "MAP": "AP", "Recall": "R", "Precision": "P", "Success": "Success"}
"""Names as people write them, and as ir-measures has them."""

Run: TypeAlias = dict[str, dict[str, float]]
"""Score by query id and document id."""

Qrels: TypeAlias = Mapping[str, Mapping[str, int]]
"""Relevance by query id and document id."""


def named(names: Iterable[str]) -> Measures:
    """Measures by names such as nDCG@5, Recall@20, MAP@100; case aside. Raises `BadInput`."""
    return dict(map(_named, names))


def _named(name: str) -> tuple[str, tuple[str, int]]:
    kind, _, cutoff = name.partition("@")
    known = {each.casefold(): each for each in _KNOWN}.get(kind.strip().casefold())
    if known is None or not cutoff.isascii() or not cutoff.isdecimal() or not 1 <= int(cutoff) <= _MOST:
        raise BadInput(
            f"measure {name!r}: expected one of {', '.join(_KNOWN)} and a cut-off of 1 to {_MOST}, such as "
            "nDCG@10"
        )
    return f"{known}@{int(cutoff)}", (_KNOWN[known], int(cutoff))


_MOST = 100
"""Hits that a ranking has when it is measured."""


def measure(run: Run, qrels: Qrels, measures: Measures = MEASURES) -> dict[str, float]:
    """Mean over the queries of `qrels` of every measure; a query without hits counts as zero."""
    return {name: fmean(values.values()) for name, values in measure_each(run, qrels, measures).items()}


def measure_each(run: Run, qrels: Qrels, measures: Measures = MEASURES) -> dict[str, dict[str, float]]:
    """Every measure of every query of `qrels`; a query without hits counts as zero."""
    ir_measures = require("ir_measures", "evaluation")
    # Not parse_measure: it reads names with parts of `ast` that Python 3.14 no longer has.
    theirs = {getattr(ir_measures, measure) @ cutoff: name for name, (measure, cutoff) in measures.items()}
    values = {name: dict.fromkeys(qrels, 0.0) for name in measures}
    for each in ir_measures.iter_calc(theirs, qrels, run):
        values[theirs[each.measure]][each.query_id] = float(each.value)
    return values
