"""Lexical weights for all-MiniLM-L6-v2: a learned sparse leg from a trunk that stays as it is.

    python -m rag_plugins.training.recipes.lexical_head --data FOLDER --into FOLDER

`FOLDER` of the data has `train-pairs/pairs.jsonl.gz` (see `open_pairs`). s_t is of the passages alone, a and
b are trained on pairs with in-batch negatives (see `LexicalHead`, and `training.sparse`). States of the trunk
are kept in `FOLDER/states` (0.5 GB): a second run takes a minute. The texts' first 128 tokens are read, half
of what is read in use.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rag_plugins.config.training import SparseTraining
from rag_plugins.models.backend import find_weights
from rag_plugins.models.presets import SPARSE_PRESETS
from rag_plugins.training.pairs import Pair, split
from rag_plugins.training.recipes.open_pairs import SOURCES, open_pairs
from rag_plugins.training.running import Outcome, run
from rag_plugins.training.sparse import open_sparse, sparse_job, weigh_tokens
from rag_plugins.training.states import frozen

__all__ = ["PRESET", "SETTINGS", "trained", "written"]

PRESET = SPARSE_PRESETS["all-MiniLM-L6-v2-lexical"]

SETTINGS = SparseTraining(
    form="lexical",
    epochs=2,
    batch=64,
    max_length=128,
    warmup=0.0,
    document_weight=0.0,
    precision="fp32",
    device="cpu",
)

_EACH = 1200
_COUNTED = 4000

_CARD = """\
---
license: apache-2.0
base_model: sentence-transformers/all-MiniLM-L6-v2
---

# {name}

A weight for each token of a text, from the states of all-MiniLM-L6-v2, as BGE-M3 gives them. For a sparse
leg: `SparseLeg(model="{name}")`. With h the state of a token, scaled to unit length,

    w(t) = s_t  max over the places i of token t of  ReLU(a . h_i + b)

| | |
|---|---|
| data | {pairs} pairs: up to {each} each of {sources}; s_t: up to {counted} passages of each |
| loss | in-batch negatives, dot products; {steps} steps of {batch}; the trunk as it is |
| seed | {seed} |
| dev part, nDCG@10 | {before:.4f} with s_t alone, {after:.4f} trained |

    python -m rag_plugins.training.recipes.lexical_head --data FOLDER --into FOLDER

{figures}
"""


def trained(trunk: Path, pairs: Sequence[Pair], passages: Sequence[str], work: Path) -> tuple[Any, Outcome]:
    """A model with its head, and how the training went; states and checkpoints lie in `work`."""
    train, dev = split(pairs, SETTINGS.dev, SETTINGS.seed)
    model = open_sparse(trunk, SETTINGS)
    model.max_seq_length = SETTINGS.max_length
    job = sparse_job(model, SETTINGS, train, dev)
    weigh_tokens(model, passages)
    with frozen(model[0], work / "states"):
        return model, run(job, SETTINGS, work)


def written(model: Any, outcome: Outcome, pairs: int, figures: str, into: Path) -> Path:
    """The head's folder, with weights and card."""
    folder = into / PRESET.name
    model[-1].save(str(folder))
    card = _CARD.format(
        name=PRESET.name,
        pairs=pairs,
        each=_EACH,
        counted=_COUNTED,
        sources=", ".join(SOURCES),
        steps=outcome.steps,
        batch=SETTINGS.batch,
        seed=SETTINGS.seed,
        before=outcome.before,
        after=outcome.after,
        figures=figures,
    )
    (folder / "README.md").write_text(card, encoding="utf-8")
    return folder


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description="The lexical head of all-MiniLM-L6-v2.")
    parser.add_argument("--data", type=Path, required=True, help="has train-pairs/pairs.jsonl.gz")
    parser.add_argument("--into", type=Path, required=True)
    parser.add_argument("--figures", type=Path, help="a Markdown table of them, for the card")
    given = parser.parse_args()
    figures = given.figures.read_text(encoding="utf-8").strip() if given.figures else "Not measured yet."
    pairs = open_pairs(given.data, _EACH)
    passages = [pair.positive for pair in open_pairs(given.data, _COUNTED)]
    trunk = find_weights(PRESET.hub_id, PRESET.package).path
    model, outcome = trained(trunk, pairs, passages, given.into)
    written(model, outcome, len(pairs), figures, given.into)


if __name__ == "__main__":
    main()
