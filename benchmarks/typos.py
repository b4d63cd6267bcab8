"""What one slip of the pen a query costs BM25, and how much of that typo tolerance wins back.

    python -m benchmarks.typos --data squad-dev-A

In each query one word of at least four letters that is no stop word is drawn, and in it one edit, insert,
delete, substitute or swap two neighbours, all equally likely. nDCG@10 of the BM25 leg alone.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import string
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.progress import track
from rich.table import Table

from rag_plugins import Config, RagIndex
from rag_plugins.config import Bm25Leg
from rag_plugins.evaluation import measure
from rag_plugins.evaluation.beir import TestSet, read_folder

_STOP_WORDS = frozenset(
    "about above after again against also because been before being below between both cannot could does "
    "doing down during each from further have having here hers herself himself into itself just many more "
    "most much myself once only other ought ours ourselves over same should some such than that their theirs "
    "them themselves then there these they this those through under until very were what when where which "
    "while whom whose will with would your yours yourself yourselves".split()
)
"""English; only words long enough to be drawn."""

_WORD = re.compile(r"[^\W\d_]{4,}")


def main() -> None:
    """Index once, search with and without slips, with and without tolerance."""
    options = _options()
    tests = read_folder(options.data).sample(options.queries)
    draw = random.Random(options.seed)
    slips = {id: with_slip(text, draw) for id, text in tests.queries.items()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "typos.db"
        with RagIndex.open(path, config=_config("off")) as index:
            index.add(index.passage(text, doc_id=id, caller_id=id) for id, text in tests.corpus.items())
            clean, off = (_ndcg(index, queries, tests) for queries in (tests.queries, slips))
        with RagIndex.open(path, config=_config("auto")) as index:
            clean_auto, auto = (_ndcg(index, queries, tests) for queries in (tests.queries, slips))
    figures = {
        "clean": clean,
        "off": off,
        "auto": auto,
        "recovered": (auto - off) / (clean - off) if clean != off else 1.0,  # Nothing was lost.
        "clean_auto": clean_auto,
    }
    _print(figures, changed=sum(slips[id] != text for id, text in tests.queries.items()))
    print(json.dumps({name: round(figure, 4) for name, figure in figures.items()}))


def with_slip(text: str, draw: random.Random) -> str:
    """The text with one edit in one word; as it was where it has no word to draw."""
    words = [word.span() for word in _WORD.finditer(text) if word[0].casefold() not in _STOP_WORDS]
    if not words:
        return text
    start, end = draw.choice(words)
    return text[:start] + _edited(text[start:end], draw) + text[end:]


def _edited(word: str, draw: random.Random) -> str:
    alike = len(set(word.casefold())) == 1  # Nothing to swap.
    kind = draw.choice(["insert", "delete", "substitute"] + ["swap"] * (not alike))
    edited = word
    while edited.casefold() == word.casefold():  # Two equal letters swapped are no slip.
        place, letter = draw.randrange(len(word) + (kind == "insert")), draw.choice(string.ascii_lowercase)
        before, here, after = word[:place], word[place : place + 1], word[place + 1 :]
        edited = {
            "insert": before + letter + here + after,
            "delete": before + after,
            "substitute": before + letter + after,
            "swap": before + after[:1] + here + after[1:],
        }[kind]
    return edited


def _ndcg(index: RagIndex, queries: Mapping[str, str], tests: TestSet) -> float:
    run = {
        id: {hit.passage.doc_id: hit.score for hit in index.search(text, k=10)}
        for id, text in track(queries.items(), "Searching")
    }
    return measure(run, tests.qrels)["nDCG@10"]


def _config(tolerance: Literal["auto", "off"]) -> Config:
    return Config(legs=(Bm25Leg(typo_tolerance=tolerance),), rerank=())


def _print(figures: Mapping[str, float], changed: int) -> None:
    table = Table(title=f"BM25 leg, nDCG@10, {changed} queries with a slip")
    for column in ("", "tolerance off", "tolerance auto"):
        table.add_column(column)
    table.add_row("clean", f"{figures['clean']:.4f}", f"{figures['clean_auto']:.4f}")
    table.add_row("one slip", f"{figures['off']:.4f}", f"{figures['auto']:.4f}")
    Console().print(table)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="a folder in BEIR format")
    parser.add_argument("--queries", type=int, help="at most so many, drawn with a fixed seed")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
