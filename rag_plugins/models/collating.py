"""Rows of token ids to the tensors that a model reads, as its own preprocessing makes them of the texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

__all__ = ["Collator", "Rows"]

Rows: TypeAlias = Mapping[str, Sequence[Sequence[int]]]
"""What a tokenizer gives for texts, by name: input_ids and what else the model reads."""

_PROBE = ("a", " b  c, " * 5)


@dataclass(frozen=True, slots=True)
class Collator:
    """Pads rows to the longest: what preprocessing does but tokenise, so that each text is tokenised once."""

    fillers: Mapping[str, int]
    left: bool
    constants: Mapping[str, Any]

    @classmethod
    def of(
        cls, tokenizer: Any, tokenize: Callable[[Sequence[str]], Rows], preprocess: Callable[..., Any]
    ) -> Collator | None:
        """One that does as `preprocess` does; None where that does more than to pad what `tokenize` gives.

        Found by trying both on a short text, a longer one and one that is too long.
        """
        texts = [*_PROBE, _PROBE[-1] * int(tokenizer.model_max_length)]
        expected, rows = dict(preprocess(texts)), tokenize(texts)
        padding = {"input_ids": tokenizer.pad_token_id, "token_type_ids": tokenizer.pad_token_type_id}
        collator = cls(
            {name: padding.get(name) or 0 for name in rows},
            tokenizer.padding_side == "left",
            {name: value for name, value in expected.items() if name not in rows},
        )
        return collator if collator._gives(expected, rows) else None

    def __call__(self, rows: Rows, batch: Sequence[int]) -> dict[str, Any]:
        """Tensors (texts of the batch, tokens of its longest)."""
        return {
            **self.constants,
            **{name: self._padded([rows[name][n] for n in batch], at) for name, at in self.fillers.items()},
        }

    def _padded(self, rows: Sequence[Sequence[int]], filler: int) -> Any:
        import torch

        width = max(map(len, rows))
        padded = np.full((len(rows), width), filler, np.int64)
        for target, row in zip(padded, rows, strict=True):
            start = width - len(row) if self.left else 0
            target[start : start + len(row)] = row
        return torch.from_numpy(padded)

    def _gives(self, expected: Mapping[str, Any], rows: Rows) -> bool:
        import torch

        if any(torch.is_tensor(value) for value in self.constants.values()):
            return False
        made = self(rows, range(len(rows["input_ids"])))
        return all(
            torch.is_tensor(theirs := expected.get(name)) and torch.equal(theirs, made[name]) for name in rows
        )
