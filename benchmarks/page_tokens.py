"""What late interaction over pages loses by its first pass, by pooling and by the precision of what is kept.

    python -m benchmarks.page_tokens
    python -m benchmarks.page_tokens --pages 5000 --patches 720

Made token vectors: a page says some forty things several times, half of them those of its subject, beside
patches that are blank; all vectors have something in common, as those of trained models do; a query asks
for ten things of one page, with tokens beside them that stand for all ten. Looked for are the
best 10 by exact MaxSim over all patches, most of which are as good as many others, and the page that was
asked for.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from rag_plugins.models.tokens import TokenPrecision, max_similarities, pack_tokens
from rag_plugins.models.visual.muvera import FIRST_PASSES
from rag_plugins.models.visual.pooling import pooled
from rag_plugins.vectors import FloatArray, Matrix, normalise

_DIM = 128
_BEST = 10
_POOLS = (1, 3)
_PRECISIONS: tuple[TokenPrecision, ...] = ("int8", "binary")


class Made(NamedTuple):
    """Token vectors, unit rows, and which page each query asks for."""

    pages: list[Matrix]
    queries: list[Matrix]
    asked: list[int]


class Ranked(NamedTuple):
    """What ranks pages: a row of the table."""

    name: str
    size: int
    seconds: float
    scores: list[FloatArray]


def made(pages: int, queries: int, patches: int) -> Made:
    """The collection that the module describes, the same every time."""
    rng = np.random.default_rng(0)

    def units(count: int) -> Matrix:
        return normalise(rng.standard_normal((count, _DIM)).astype(np.float32))

    things, blank, common = units(3000), units(1), 0.5 * units(1)
    rarity = 1.0 / np.arange(1, len(things) + 1)
    subjects = [rng.choice(len(things), 80, replace=False) for _ in range(60)]
    inked = int(0.7 * patches)
    said: list[NDArray[np.int64]] = []
    shown: list[Matrix] = []
    for _ in range(pages):
        usual = rng.choice(len(things), 20, p=rarity / rarity.sum())
        said.append(np.unique([*rng.choice(subjects[rng.integers(60)], 20), *usual]))
        ink = things[rng.choice(said[-1], inked)] + 0.5 * units(inked)
        shown.append(normalise(np.vstack([ink, blank + 0.3 * units(patches - inked)]) + common))
    asked = rng.integers(pages, size=queries).tolist()
    tokens: list[Matrix] = []
    for page in asked:
        words = things[rng.choice(said[page], 10, replace=False)]
        beside = np.repeat(0.5 * words.mean(axis=0, keepdims=True), 6, axis=0)
        tokens.append(normalise(np.vstack([words, beside]) + 0.5 * units(16) + common))
    return Made(shown, tokens, asked)


def main() -> None:
    """Print the table, and one line of JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pages", type=int, default=2000)
    parser.add_argument("--queries", type=int, default=150)
    parser.add_argument("--patches", type=int, default=240)
    options = parser.parse_args()
    collection = made(options.pages, options.queries, options.patches)
    best = [_first(scores, _BEST) for scores in _exact(collection)]
    figures: dict[str, float] = dict(vars(options))
    columns = (
        "",
        "numbers or bytes a page",
        "ms a page",
        "among the first",
        f"of the best {_BEST}",
        "of those asked for",
    )
    table = Table(*columns, title="Late interaction over pages")
    for pool in _POOLS:
        pages = [pooled(page, pool) for page in collection.pages]
        table.add_section()
        for ranked, many in _rankings(pages, collection.queries):
            found = [_first(scores, many) for scores in ranked.scores]
            recall = _mean(len(some & all) / _BEST for some, all in zip(best, found, strict=True))
            asked = _mean(page in some for page, some in zip(collection.asked, found, strict=True))
            name = f"{ranked.name}, pool {pool}"
            row = (name, ranked.size, f"{1000 * ranked.seconds:.3f}", many, f"{recall:.3f}", f"{asked:.3f}")
            table.add_row(*map(str, row))
            key = f"{ranked.name}_pool_{pool}"
            figures |= {f"{key}_recall_at_{many}": recall, f"{key}_asked_at_{many}": asked}
            figures |= {f"{key}_size": ranked.size, f"{key}_ms": round(1000 * ranked.seconds, 4)}
    Console().print(table)
    print(json.dumps(figures))


def _rankings(pages: Sequence[Matrix], queries: Sequence[Matrix]) -> Iterator[tuple[Ranked, int]]:
    """First passes, whose making is timed, and MaxSim, whose search is; each with how many of it count."""
    for name, first in FIRST_PASSES.items():
        begun = time.process_time()
        matrix = np.stack([first.page(page) for page in pages])
        took = (time.process_time() - begun) / len(pages)
        ranked = Ranked(name, matrix.shape[1], took, [matrix @ first.query(query) for query in queries])
        yield from ((ranked, many) for many in (100, 200))
    for precision in _PRECISIONS:
        packed = [pack_tokens(page, precision) for page in pages]
        begun = time.process_time()
        scores = [max_similarities(query, packed).sum(axis=1) for query in queries]
        took = (time.process_time() - begun) / len(pages) / len(queries)
        ranked = Ranked(precision, len(packed[0]), took, scores)
        yield ranked, _BEST


def _exact(collection: Made) -> list[FloatArray]:
    """MaxSim over all patches as they are."""
    everything = np.vstack(collection.pages)
    starts = np.cumsum([0, *map(len, collection.pages)])[:-1]
    return [np.maximum.reduceat(everything @ q.T, starts, axis=0).sum(axis=1) for q in collection.queries]


def _first(scores: FloatArray, count: int) -> set[int]:
    return set(np.argsort(-scores, kind="stable")[:count].tolist())


def _mean(values: Iterable[float]) -> float:
    return round(float(np.mean(list(values))), 4)


if __name__ == "__main__":
    main()
