"""Reranking by a cross-encoder of MiniLM's size, beside `CrossEncoder.predict` as installed.

    python -m benchmarks.rerank
    python -m benchmarks.rerank --corpus ../shared/data/medquad-eval

Every round has a question and passages of its own, which all sides score one after the other on one thread,
after a round that does not count. Times are of process CPU; speedups are medians of the rounds' ratios.
`ours` is what the rule chooses on this machine; `fp32` is lossless, on torch. The floor is the time of the
full model's matrix products on the unpadded pairs, at the rate that torch reaches here in ours' precision.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import fmean, median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.cross_encoders import OURS, PEERS, reranker, save_cross_encoder
from benchmarks.floors import Layers, machine
from benchmarks.memory import peak_of_reranking
from benchmarks.passages import read_asked, shortlists
from benchmarks.rounds import Round, Side, agreement, run_rounds, speedup
from rag_plugins.errors import ConfigError, MissingExtra, require
from rag_plugins.models.batching import token_batches
from rag_plugins.models.compute.rule import Choice

_REFERENCE = next(iter(PEERS))
_BATCH = 32
"""Pairs in a batch of `CrossEncoder.predict` as installed."""

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def main() -> None:
    """Save the model, score in each way, print."""
    options = _options()
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    require("torch", extra="models").set_num_threads(1)
    questions, passages = read_asked(options.corpus)
    sizes = sorted(options.pairs)
    asked = list(shortlists(questions, passages, options.rounds + 1, sizes[-1], options.seed))
    with TemporaryDirectory() as scratch:
        os.environ["XDG_CACHE_HOME"] = scratch  # What is converted of a made model is of no use later.
        folder = Path(scratch) / "minilm-head"
        save_cross_encoder(folder, [(question, text) for question, texts in asked[:2] for text in texts])
        rounds = list(run_rounds(_sides(folder), asked, sizes))
        lengths = [_lengths(folder, *done.asked) for done in rounds]
        peaks = [peak_of_reranking(folder, asked[0][0], passages, pairs) for pairs in options.memory]
        choice = reranker(folder).choice
        layers = Layers.of(require("transformers", extra="models").AutoConfig.from_pretrained(folder))
    figures = (
        _compared(rounds, sizes)
        | _floor(rounds, lengths, layers, choice)
        | _padding(lengths, sizes, choice)
        | _memory(options.memory, peaks)
    )
    _print(rounds, figures, sizes, choice)
    print(json.dumps({name: round(f, 6) if isinstance(f, float) else f for name, f in figures.items()}))


def _sides(folder: Path) -> dict[str, Side]:
    sides: dict[str, Side] = {}
    for name, make in {**PEERS, **OURS}.items():
        try:
            side = make(folder)
            side.score("is it there?", side.prepare(["it is"]))
        except (MissingExtra, ConfigError) as error:
            Console(stderr=True).print(f"{name} is left out: {error}", markup=False)
        else:
            sides[name] = side
    return sides


def _lengths(folder: Path, question: str, passages: Sequence[str]) -> list[int]:
    """Tokens of each pair, as both read them."""
    tokenizer = require("transformers", extra="models").AutoTokenizer.from_pretrained(folder)
    pairs: Mapping[str, Sequence[Sequence[int]]] = tokenizer(
        [question] * len(passages), list(passages), truncation=True
    )
    return [len(ids) for ids in pairs["input_ids"]]


def _compared(rounds: Sequence[Round], sizes: Sequence[int]) -> dict[str, Any]:
    """Of `ours` under plain names, of the others with theirs before."""
    figures: dict[str, Any] = {}
    for name in rounds[0].scores:
        if name != _REFERENCE:
            speedups = {f"speedup_{size}": speedup(rounds, name, _REFERENCE, size) for size in sizes}
            own = speedups | agreement(rounds, name, _REFERENCE)
            figures |= {_key(name, figure): value for figure, value in own.items()}
    reference = np.concatenate([done.scores[_REFERENCE] for done in rounds])
    return figures | {"score_deviation": float(reference.std())}


def _key(side: str, figure: str) -> str:
    return figure if side == "ours" else f"{side}_{figure}"


def _floor(
    rounds: Sequence[Round], lengths: Sequence[Sequence[int]], layers: Layers, choice: Choice
) -> dict[str, Any]:
    """How far ours is from the matrix products alone, at the largest size."""
    about, size = machine(layers), len(lengths[0])
    own = about["gflops_bf16" if choice.precision == "bf16" else "gflops_fp32"]

    def ratio(side: str, rate: float) -> float:
        pairs = zip(rounds, lengths, strict=True)
        return median(done.cpu[side, size] * rate * 1e9 / layers.flops(read) for done, read in pairs)

    return about | {
        "backend": choice.backend,
        "precision": choice.precision,
        f"floor_ratio_{size}": ratio("ours", own),
        f"fp32_floor_ratio_{size}": ratio("fp32", about["gflops_fp32"]),
        f"floor_speedup_{size}": ratio(_REFERENCE, own),
    }


def _padding(lengths: Sequence[Sequence[int]], sizes: Sequence[int], choice: Choice) -> dict[str, Any]:
    every = [length for of_round in lengths for length in of_round]
    figures = {"tokens_mean": fmean(every), "tokens_median": median(every), "tokens_max": max(every)}
    for size in sizes:
        heads = [of_round[:size] for of_round in lengths]
        figures[f"reference_padding_{size}"] = fmean(_share(head, _in_fixed(head)) for head in heads)
        figures[f"padding_{size}"] = fmean(_share(head, token_batches(head, choice.budget)) for head in heads)
    return figures


def _in_fixed(lengths: Sequence[int]) -> Iterator[list[int]]:
    ordered = sorted(range(len(lengths)), key=lambda n: -lengths[n])
    return (ordered[start : start + _BATCH] for start in range(0, len(ordered), _BATCH))


def _share(lengths: Sequence[int], batches: Iterable[Sequence[int]]) -> float:
    """What padding adds to the tokens."""
    return sum(len(batch) * max(lengths[n] for n in batch) for batch in batches) / sum(lengths) - 1


def _memory(pairs: Sequence[int], peaks: Sequence[int]) -> dict[str, float]:
    figures = {f"memory_mb_{size}": peak / 2**20 for size, peak in zip(pairs, peaks, strict=True)}
    ratios = (
        (f"memory_{more}_over_{fewer}", figures[f"memory_mb_{more}"] / figures[f"memory_mb_{fewer}"])
        for fewer, more in pairwise(pairs)
    )
    return figures | dict(ratios)


def _print(rounds: Sequence[Round], figures: Mapping[str, Any], sizes: Sequence[int], choice: Choice) -> None:
    console = Console()
    table = Table("pairs", title="reranking on one thread; median ms of process CPU")
    for column in ("side", "ms CPU", "ms wall", "speedup"):
        table.add_column(column, justify="left" if column == "side" else "right", no_wrap=True)
    for size in sizes:
        for name in filter(rounds[0].scores.__contains__, {**PEERS, **OURS}):
            times = (median(seconds[name, size] for seconds in kind) for kind in _kinds(rounds))
            cells = [f"{1000 * seconds:.0f}" for seconds in times]
            table.add_row(str(size), name, *cells, f"{figures.get(_key(name, f'speedup_{size}'), 1.0):.2f}")
    console.print(table)
    padding = "at {0} +{{reference_padding_{0}:.0%}} by the reference, +{{padding_{0}:.0%}} by ours"
    rates = "{gflops_bf16:.0f} in bf16" if figures["bf16"] else "no bf16"
    for line in (
        f"ours: {choice}",
        "pairs: {tokens_mean:.0f} tokens on average, median {tokens_median:.0f}, at most {tokens_max}",
        "padding " + ", ".join(padding.format(size) for size in sizes),
        "scores: deviation {score_deviation:.2f}, correlation {correlation:.6f}, difference up to "
        "{max_difference:.4f}; same best ten: {same_top10} ({overlap10:.1%}), in order: {same_order10}",
        "a passage among the best ten in place of another is worse by up to {swapped_gap:.4f}",
        "{processor}: {gflops_fp32:.0f} GFLOP/s in fp32, " + rates,
        "the floor at {0} is {{floor_speedup_{0}:.2f}} times as fast as the reference; ours takes "
        "{{floor_ratio_{0}:.2f}} times it".format(sizes[-1]),
        *(f"{name.replace('_', ' ')}: {figures[name]:.2f}" for name in figures if name.startswith("memory")),
    ):
        console.print(line.format_map(figures), highlight=False, markup=False)


def _kinds(rounds: Sequence[Round]) -> tuple[list[dict[tuple[str, int], float]], ...]:
    return [done.cpu for done in rounds], [done.wall for done in rounds]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, nargs="+", default=[25, 50, 100], help="passages to rerank")
    parser.add_argument("--rounds", type=int, default=5, help="questions, each with passages of its own")
    parser.add_argument("--corpus", type=Path, help="a folder in BEIR format instead of Python's manual")
    parser.add_argument(
        "--memory", type=int, nargs="*", default=[100, 1000], help="pairs whose peaks to compare"
    )
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
