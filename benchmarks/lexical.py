"""How fast recall rules are on a database file: a made collection, made queries of each kind, whole searches.

    python -m benchmarks.lexical --terms 200000 --passages 100000

Passages of 60 to 100 words drawn Zipf-like from a dictionary of pronounceable words, each word in at least
one passage. Queries are drawn from the passages, so frequent words come up as often as they do in them.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import random
import resource
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from rag_plugins import RagIndex, parse_query

_SYLLABLES = [onset + vowel for onset in "b d f g k l m n p r s t v z ch st tr".split() for vowel in "aeiou"]

_SHORTEST, _LONGEST = 60, 100

_BATCH = 5000
"""Passages added at once."""

_FREQUENT = 50
"""So many of the most frequent words make the phrases that are the most work."""


def main() -> None:
    """Make, ingest, ask, print."""
    options = _options()
    draw = random.Random(options.seed)
    words = made_words(options.terms, draw)
    passages = made_passages(words, options.passages, options.seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lexical.db"
        with RagIndex.open(path, preset="lexical") as index:
            figures = {"build_seconds": _ingest(index, passages)}
        before, started = _memory(), perf_counter()
        with RagIndex.open(path, preset="lexical") as index:
            figures["open_seconds"] = perf_counter() - started
            figures["first_query_seconds"] = _first_search(index, passages)
            figures["bytes_per_token"] = (_memory() - before) / sum(map(len, passages))
            for kind, make in KINDS.items():
                queries = [make(draw.choice(passages), words, draw) for _ in range(options.queries)]
                figures |= _asked(index, kind, queries)
    _print(figures)
    print(json.dumps({name: round(figure, 3) for name, figure in figures.items()}))


def made_words(count: int, draw: random.Random) -> list[str]:
    """Distinct words of two to five syllables, some of which end in a consonant."""
    words: dict[str, None] = {}
    while len(words) < count:
        syllables = draw.choices(_SYLLABLES, k=draw.randint(2, 5))
        words["".join(syllables) + draw.choice(["", "", "n", "r", "x"])] = None
    return list(words)


def made_passages(words: Sequence[str], count: int, seed: int) -> list[list[str]]:
    """Words by Zipf's law, the first the most frequent; every one at least once where there is room."""
    draw = np.random.default_rng(seed)
    lengths = draw.integers(_SHORTEST, _LONGEST + 1, count)
    shares = np.cumsum(1.0 / np.arange(1, len(words) + 1))
    chosen = np.searchsorted(shares, draw.random(lengths.sum()) * shares[-1])
    places = draw.permutation(len(chosen))[: len(words)]
    chosen[places] = np.arange(len(places))
    text = [words[rank] for rank in chosen.tolist()]
    ends = np.cumsum(lengths).tolist()
    return [text[end - length : end] for end, length in zip(ends, lengths.tolist(), strict=True)]


def _plain(passage: list[str], words: Sequence[str], draw: random.Random) -> str:
    return " ".join(draw.choices(passage, k=5))


def _prefix(passage: list[str], words: Sequence[str], draw: random.Random) -> str:
    word = draw.choice(passage)
    return word[: draw.randint(3, max(3, len(word) - 1))] + "*"


def _wildcard(passage: list[str], words: Sequence[str], draw: random.Random) -> str:
    word = draw.choice([word for word in passage if len(word) > 5])
    hole, start = draw.randrange(3, len(word) - 1), draw.choice(["", word[:2]])
    return f"{start}*{word[3:hole]}?{word[hole + 1 :]}"


def _fuzzy(passage: list[str], words: Sequence[str], draw: random.Random) -> str:
    word, edits = draw.choice([word for word in passage if len(word) > 4]), draw.randint(1, 2)
    for place in draw.sample(range(1, len(word)), edits):
        word = word[:place] + draw.choice("aeioulnrst") + word[place + 1 :]
    return f"{word}~{edits}"


def _phrase(passage: list[str], words: Sequence[str], draw: random.Random) -> str:
    start, length = draw.randrange(len(passage) - 3), draw.randint(2, 3)
    return f'"{" ".join(passage[start : start + length])}"'


def _near_phrase(passage: list[str], words: Sequence[str], draw: random.Random) -> str:
    return f"{_phrase(passage, words, draw)}~2"


def _frequent_phrase(passage: list[str], words: Sequence[str], draw: random.Random) -> str:
    return '"{} {}"'.format(*draw.sample(words[:_FREQUENT], 2))


KINDS: dict[str, Callable[[list[str], Sequence[str], random.Random], str]] = {
    "words": _plain,
    "prefix": _prefix,
    "wildcard": _wildcard,
    "fuzzy": _fuzzy,
    "phrase": _phrase,
    "near_phrase": _near_phrase,
    "frequent_phrase": _frequent_phrase,
}
"""A query of each kind from a passage and the dictionary."""


def _ingest(index: RagIndex, passages: Sequence[list[str]]) -> float:
    started = perf_counter()
    for start in track(range(0, len(passages), _BATCH), "adding"):
        index.add(index.passage(" ".join(words)) for words in passages[start : start + _BATCH])
    return perf_counter() - started


def _first_search(index: RagIndex, passages: Sequence[list[str]]) -> float:
    started = perf_counter()
    index.search(passages[0][0], k=10)
    return perf_counter() - started


def _memory() -> int:
    """Resident bytes of this process, without what its allocator keeps for later; 0 where not on Linux."""
    pages = Path("/proc/self/statm")
    if not pages.exists():
        return 0
    gc.collect()
    allocator = ctypes.CDLL(None)
    if hasattr(allocator, "malloc_trim"):
        allocator.malloc_trim(0)
    return int(pages.read_text().split()[1]) * resource.getpagesize()


def _asked(index: RagIndex, kind: str, queries: Sequence[str]) -> dict[str, float]:
    wall, cpu, hits = [], [], 0
    for query in map(parse_query, queries):
        started, used = perf_counter(), process_time()
        hits += bool(index.search(query, k=10))
        wall.append(perf_counter() - started)
        cpu.append(process_time() - used)
    milliseconds = {
        "p50_ms": np.median(wall),
        "p99_ms": np.quantile(wall, 0.99),
        "cpu_p50_ms": np.median(cpu),
    }
    shares = {f"{kind}_found": hits / len(queries)}
    return {f"{kind}_{name}": float(figure) * 1000 for name, figure in milliseconds.items()} | shares


def _print(figures: dict[str, float]) -> None:
    table = Table("kind", "p50 ms", "p99 ms", "p50 ms CPU", "found")
    for kind in KINDS:
        cells = (figures[f"{kind}_{name}"] for name in ("p50_ms", "p99_ms", "cpu_p50_ms", "found"))
        table.add_row(kind, *(f"{cell:.2f}" for cell in cells))
    console = Console()
    console.print(table)
    for name in ("build_seconds", "open_seconds", "first_query_seconds", "bytes_per_token"):
        console.print(f"{name}: {figures[name]:.3g}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--terms", type=int, default=200_000)
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=200, help="of each kind")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
