"""Pairs that may be learned from without passing a share-alike licence on: CC BY 4.0 and Apache-2.0."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rag_plugins.training.pairs import Pair

__all__ = ["SOURCES", "measured_on", "open_pairs", "plain", "read_lines"]

SOURCES: Mapping[str, tuple[str, ...]] = {
    "tldr-pages (CC BY 4.0)": ("tldr-en",),
    "MedQuAD (CC BY 4.0)": ("medquad",),
    "FairytaleQA (Apache-2.0)": ("fairytale-train", "fairytale-val"),
}
"""Names that lines of train-pairs have for them."""

_MEASURED_ON = ("tldr-en", "tldr-zh2en", "medquad-eval", "squad-dev-A", "cosqa-dev")


def open_pairs(data: Path, each: int, seed: int = 0) -> list[Pair]:
    """Up to `each` pairs of every source, of distinct passages; none whose query is one of an evaluation set.

    `data` has `train-pairs/pairs.jsonl.gz`, and the folders of the evaluation sets as far as they are there.
    """
    asked = measured_on(data)
    found: dict[str, dict[str, Pair]] = {source: {} for source in SOURCES}
    lines = list(read_lines(data))
    random.Random(seed).shuffle(lines)
    for line in lines:
        source = next((name for name, parts in SOURCES.items() if line["source"] in parts), None)
        if source is None or plain(line["query"]) in asked or len(found[source]) == each:
            continue
        pair = Pair(line["query"].strip(), line["positive"].strip(), group=line["doc_id"])
        found[source].setdefault(pair.positive, pair)
    return [pair for pairs in found.values() for pair in pairs.values()]


def measured_on(data: Path) -> set[str]:
    """The queries of the evaluation sets, as `plain` has them."""
    found: set[str] = set()
    for path in (data / name / "queries.jsonl" for name in _MEASURED_ON):
        if path.is_file():
            lines = path.read_text(encoding="utf-8").splitlines()
            found |= {plain(json.loads(line)["text"]) for line in lines}
    return found


def plain(query: str) -> str:
    """Case and white space aside."""
    return " ".join(query.casefold().split())


def read_lines(data: Path) -> Iterator[dict[str, Any]]:
    """Of `train-pairs/pairs.jsonl.gz`: query, positive, source, doc_id."""
    with gzip.open(data / "train-pairs" / "pairs.jsonl.gz", "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)
