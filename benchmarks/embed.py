"""Passages of about 200 tokens to vectors by MiniLM, beside `SentenceTransformer.encode` as installed.

    python -m benchmarks.embed
    python -m benchmarks.embed --texts ../shared/data/medquad-eval

Every round has passages of its own, which all sides encode one after the other on one thread, after a round
that does not count. Times are of process CPU; speedups are medians of the rounds' ratios. `ours` is what the
rule chooses on this machine. The floor is the time of the model's matrix products on the unpadded passages,
at the rate that torch reaches here in ours' precision: no engine is faster than its processor.
"""

from __future__ import annotations

import argparse
import json
import os
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.floors import Layers, machine
from benchmarks.rounds import Round, Side, run_rounds, speedup
from rag_plugins.config import ComputeConfig, DenseLeg
from rag_plugins.errors import BadInput, ConfigError, MissingExtra, require
from rag_plugins.evaluation.texts import manual_texts, read_texts
from rag_plugins.models.backend import find_weights, quiet
from rag_plugins.models.compute.rule import Choice
from rag_plugins.models.dense import DenseEncoder
from rag_plugins.models.presets import DENSE_PRESETS
from rag_plugins.types import EmbedText
from rag_plugins.vectors import normalise

_PRESET = DENSE_PRESETS["all-MiniLM-L6-v2"]
_REFERENCE = "sentence_transformers"
_TEXTS = 4000
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def main() -> None:
    """Encode in each way, print."""
    options = _options()
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    require("torch", extra="models").set_num_threads(1)
    folder = find_weights(_PRESET.hub_id, _PRESET.package).path
    lengths = _lengths(folder, read_texts(options.texts) if options.texts else manual_texts(_TEXTS))
    wanted = {text: length for text, length in lengths.items() if length >= options.least}
    drawn = list(_draws(list(wanted), options.passages, options.rounds + 1, options.seed))
    encoders = _encoders()
    sides = {_REFERENCE: _reference(folder), **{name: _side(encoder) for name, encoder in encoders.items()}}
    rounds = list(run_rounds(sides, [("", texts) for texts in drawn], [options.passages]))
    choice = encoders["ours"].choice
    read = [[min(wanted[text], _PRESET.max_length) for text in done.asked[1]] for done in rounds]
    layers = Layers.of(require("transformers", extra="models").AutoConfig.from_pretrained(folder))
    figures = _compared(rounds, options.passages) | _floor(rounds, read, layers, choice)
    _print(rounds, figures, options.passages, choice)
    print(json.dumps({name: round(f, 6) if isinstance(f, float) else f for name, f in figures.items()}))


def _lengths(folder: Path, texts: Sequence[str]) -> dict[str, int]:
    """Tokens of each text, those that are not read included."""
    tokenizer = require("transformers", extra="models").AutoTokenizer.from_pretrained(folder)
    encoded: Sequence[Sequence[int]] = tokenizer(list(texts), truncation=False, verbose=False)["input_ids"]
    return {text: len(ids) for text, ids in zip(texts, encoded, strict=True)}


def _draws(texts: Sequence[str], size: int, count: int, seed: int) -> list[list[str]]:
    if len(texts) < size:
        raise BadInput(
            f"{len(texts)} texts are long enough, a round takes {size}: lower --passages or --least"
        )
    draw = random.Random(seed)
    return [draw.sample(texts, size) for _ in range(count)]


def _reference(folder: Path) -> Side:
    """With nothing set: float32, batches of 32."""
    library: Any = require("sentence_transformers", extra="models")
    with quiet():
        model = library.SentenceTransformer(str(folder), device="cpu")
    return Side(list, lambda _, texts: model.encode(texts, show_progress_bar=False))


_OURS: Mapping[str, ComputeConfig] = {
    "ours": ComputeConfig(),
    "torch_fp32": ComputeConfig(backend="torch", precision="fp32"),
    "torch_bf16": ComputeConfig(backend="torch", precision="bf16"),
    "openvino_fp32": ComputeConfig(backend="openvino", precision="fp32"),
}
"""By the rule of this machine, and as asked for."""


def _encoders() -> dict[str, DenseEncoder]:
    """Those that this machine can have, loaded."""
    encoders: dict[str, DenseEncoder] = {}
    for name, compute in _OURS.items():
        try:
            encoder = DenseEncoder(DenseLeg(model=_PRESET.name, device="cpu"), compute)
            Console(stderr=True).print(f"{name}: {encoder.choice}", markup=False, highlight=False)
        except (MissingExtra, ConfigError) as error:
            Console(stderr=True).print(f"{name} is left out: {error}", markup=False, highlight=False)
        else:
            encoders[name] = encoder
    return encoders


def _side(encoder: DenseEncoder) -> Side:
    def prepare(texts: Sequence[str]) -> list[EmbedText]:
        return [EmbedText(text) for text in texts]

    def score(_: str, views: Sequence[EmbedText]) -> Any:
        return encoder.encode_documents(views).dense

    return Side(prepare, score)


def _compared(rounds: Sequence[Round], size: int) -> dict[str, Any]:
    """Of `ours` under plain names, of the others with theirs before."""
    figures: dict[str, Any] = {}
    for name in rounds[0].scores:
        if name == _REFERENCE:
            continue
        cosines = np.concatenate([_cosines(done.scores[_REFERENCE], done.scores[name]) for done in rounds])
        own = {
            "speedup": speedup(rounds, name, _REFERENCE, size),
            "cosine_mean": float(cosines.mean()),
            "cosine_min": float(cosines.min()),
        }
        figures |= {_key(name, figure): value for figure, value in own.items()}
    return figures


def _key(side: str, figure: str) -> str:
    return figure if side == "ours" else f"{side}_{figure}"


def _cosines(theirs: Any, ours: Any) -> Any:
    # In float64: in float32 a vector's cosine to itself is off by as much as is measured here.
    return np.einsum("nd,nd->n", *(normalise(side).astype(np.float64) for side in (theirs, ours)))


def _floor(
    rounds: Sequence[Round], read: Sequence[Sequence[int]], layers: Layers, choice: Choice
) -> dict[str, Any]:
    """How far each side is from the matrix products alone."""
    about = machine(layers)
    own = about["gflops_bf16" if choice.precision == "bf16" else "gflops_fp32"]

    def ratio(side: str, rate: float) -> float:
        size = len(read[0])
        pairs = zip(rounds, read, strict=True)
        return median(done.cpu[side, size] * rate * 1e9 / layers.flops(lengths) for done, lengths in pairs)

    tokens = [length for of_round in read for length in of_round]
    return about | {
        "backend": choice.backend,
        "precision": choice.precision,
        "floor_ratio": ratio("ours", own),
        "torch_fp32_floor_ratio": ratio("torch_fp32", about["gflops_fp32"]),
        "reference_floor_ratio": ratio(_REFERENCE, about["gflops_fp32"]),
        "floor_speedup": ratio(_REFERENCE, own),
        "passages": len(tokens),
        "tokens_mean": fmean(tokens),
    }


def _print(rounds: Sequence[Round], figures: Mapping[str, Any], size: int, choice: Choice) -> None:
    console = Console()
    table = Table("side", title=f"{size} passages of {figures['tokens_mean']:.0f} tokens, one thread")
    for column in ("ms CPU each", "ms wall each", "speedup", "cosine, least"):
        table.add_column(column, justify="right", no_wrap=True)
    for name in rounds[0].scores:
        kinds = ([done.cpu for done in rounds], [done.wall for done in rounds])
        times = [f"{1000 * median(seconds[name, size] for seconds in kind) / size:.2f}" for kind in kinds]
        faster, cosine = (figures.get(_key(name, figure), 1.0) for figure in ("speedup", "cosine_min"))
        table.add_row(name, *times, f"{faster:.2f}", f"{cosine:.6f}")
    console.print(table)
    bf16 = "{gflops_bf16:.0f} in bf16, {bf16_over_fp32:.2f} times that" if figures["bf16"] else "no bf16"
    for line in (
        f"ours: {choice}",
        "{processor}: {gflops_fp32:.0f} GFLOP/s in fp32, " + bf16,
        "the floor is {floor_speedup:.2f} times as fast as the reference; ours takes {floor_ratio:.2f} times",
        "of their floor in fp32 the reference takes {reference_floor_ratio:.2f} times, torch by us "
        "{torch_fp32_floor_ratio:.2f} times",
    ):
        console.print(line.format_map(figures), highlight=False, markup=False)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--texts", type=Path, help="a text file or a BEIR folder instead of Python's manual")
    parser.add_argument("--passages", type=int, default=96, help="in a round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--least", type=int, default=128, help="tokens: shorter passages are left out")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
