"""How fast a model could be at best here: this processor's matrix products, and how many a model needs."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import process_time
from typing import Any, TypeAlias

from rag_plugins.errors import require
from rag_plugins.models.compute.rule import BF16
from rag_plugins.models.compute.rule import processor as features

__all__ = ["Layers", "gemm_gflops", "machine", "processor"]

Shape: TypeAlias = tuple[int, int, int]
"""Rows, inner dimension and columns of a matrix product."""

_ROWS = 1024
"""Tokens in a product: the budget of a batch."""

_SECONDS = 0.3
"""Of process CPU time spent on each shape."""


@dataclass(frozen=True, slots=True)
class Layers:
    """What of a transformer encoder costs matrix products."""

    count: int
    hidden: int
    inner: int

    @classmethod
    def of(cls, config: Any) -> Layers:
        """Those of a transformers configuration of the BERT family."""
        return cls(config.num_hidden_layers, config.hidden_size, config.intermediate_size)

    def flops(self, lengths: Sequence[int]) -> float:
        """Of texts of so many tokens without padding: a multiplication and an addition are two.

        Per token query, key, value and output (4 hidden²) and the feed-forward (2 hidden inner); per pair of
        tokens the similarity and the weighted sum (2 hidden). Of every token in every layer, even where a
        head reads but one of the last.
        """
        token = 4 * self.hidden**2 + 2 * self.hidden * self.inner
        return sum(2.0 * self.count * n * (token + 2 * n * self.hidden) for n in lengths)

    def shapes(self, rows: int) -> list[Shape]:
        """Its products for so many tokens at once."""
        hidden, inner = self.hidden, self.inner
        return [(rows, hidden, hidden), (rows, hidden, inner), (rows, inner, hidden)]


def gemm_gflops(dtype: str, shapes: Sequence[Shape]) -> float:
    """10⁹ operations a CPU second of torch's products of these shapes, one thread, in "fp32" or "bf16".

    Each shape counts by its operations, at the best of many repetitions.
    """
    best = [_best_seconds(dtype, shape) for shape in shapes]
    return sum(2.0 * rows * inner * columns for rows, inner, columns in shapes) / sum(best) / 1e9


def _best_seconds(dtype: str, shape: Shape) -> float:
    torch: Any = require("torch", extra="models")
    kind = {"fp32": torch.float32, "bf16": torch.bfloat16}[dtype]
    rows, inner, columns = shape
    left, weight = torch.randn(rows, inner, dtype=kind), torch.randn(columns, inner, dtype=kind)
    best, spent = float("inf"), 0.0
    with torch.inference_mode():
        while spent < _SECONDS:
            start = process_time()
            torch.nn.functional.linear(left, weight)
            seconds = process_time() - start
            best, spent = min(best, seconds), spent + seconds
    return best


def machine(layers: Layers) -> dict[str, Any]:
    """Of this processor: its name, whether it lists bf16, its rates for products of these layers."""
    fp32 = gemm_gflops("fp32", layers.shapes(_ROWS))
    bf16 = gemm_gflops("bf16", layers.shapes(_ROWS)) if BF16 & features() else None
    return {
        "processor": processor(),
        "bf16": bf16 is not None,
        "gflops_fp32": fp32,
        "gflops_bf16": bf16,
        "bf16_over_fp32": bf16 and bf16 / fp32,
    }


def processor() -> str:
    """What the processor calls itself, with its family and model where its name says little."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.is_file():
        return platform.processor() or platform.machine()
    pairs = (line.split(":", 1) for line in cpuinfo.read_text().splitlines() if ":" in line)
    facts = {key.strip(): value.strip() for key, value in pairs}
    family, model = facts.get("cpu family"), facts.get("model")
    name = facts.get("model name", platform.machine())
    return f"{name} (family {family}, model {model})" if family else name
