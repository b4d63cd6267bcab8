"""The rotation that gives all-MiniLM-L6-v2 usable prefixes before a collection can be fitted one of its own.

    python -m rag_plugins.training.recipes.rotation --data FOLDER --into FOLDER

Nothing is read of which passage answers which query: prefixes are to rank as whole vectors do. With Q
orthonormal, x and y unit vectors and [.]_w the first w numbers, scaled to unit length,

    L = mean over texts x, sum over widths w of  KL(p(. | x) || p_w(. | x))
    p(y | x) ~ exp(<x, y> / t),   p_w(y | x) ~ exp(<[xQ]_w, [yQ]_w> / t_w)

over the other texts y of a batch, which are of one kind: queries and passages of a source, or words of the
model's vocabulary, which keep prefixes of use in other domains. t_w is learned: with one t for all, narrow
prefixes spend their numbers on what all texts have in common, to be as alike as whole vectors are.
"""

from __future__ import annotations

import argparse
import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rag_plugins.config import DenseLeg
from rag_plugins.errors import require
from rag_plugins.funnel import Rotation
from rag_plugins.models.backend import find_weights
from rag_plugins.models.dense import DenseEncoder
from rag_plugins.models.presets import DENSE_PRESETS
from rag_plugins.training.recipes.open_pairs import SOURCES, open_pairs
from rag_plugins.types import EmbedText
from rag_plugins.vectors import Matrix

__all__ = ["NAME", "WIDTHS", "kinds_of", "learned", "polar", "words", "written"]

PRESET = DENSE_PRESETS["all-MiniLM-L6-v2"]
NAME = f"{PRESET.name}-rotation"

WIDTHS = (12, 24, 48, 96, 192)

_EACH = 1200
_READ = 128
_WORDS = 3000
_TOGETHER = 3
_LEAST = 4
_BATCH = 600
_TEMPERATURE = 0.05
_STEPS = 25

_CARD = """\
---
license: apache-2.0
base_model: sentence-transformers/all-MiniLM-L6-v2
---

# {name}

An orthonormal matrix, 384 x 384, in half precision: `x @ columns` of a vector `x` of all-MiniLM-L6-v2 has the
same inner products as `x`, and its leading numbers alone rank nearly as all of them do. It serves widths
that this model was not trained for (`dimensions`, `store_width`), and funnels of collections that are too
small for a rotation of their own.

Learned without labels: rankings by prefixes of {widths} numbers were brought close to those by whole
vectors, among {pairs} queries and their passages of each of {sources}, and among {words} single words of the
model's vocabulary and as many times three at random. No text is in it. The loss is in the recipe:

    python -m rag_plugins.training.recipes.rotation --data FOLDER --into FOLDER

nDCG@10 of prefixes, exact search (tldr-en and medquad-eval are of the sources, with other queries):

{figures}
"""


def words(vocabulary: Sequence[str]) -> list[str]:
    """Its whole words of at least four plain letters, in an order that is always the same."""
    whole = sorted(word for word in vocabulary if word.isascii() and word.isalpha() and len(word) >= _LEAST)
    random.Random(0).shuffle(whole)
    return whole


def learned(kinds: Sequence[Matrix], widths: Sequence[int] = WIDTHS, steps: int = _STEPS) -> Matrix:
    """An orthonormal matrix (dim, dim) whose prefixes rank unit rows (n, dim) of a kind as these do.

    It begins as the principal axes of words, the last two kinds, each about its mean.
    """
    torch: Any = require("torch", "training")
    axes = Rotation.fit(np.concatenate([kind - kind.mean(axis=0) for kind in kinds[-2:]])).columns
    turn = torch.nn.Linear(*axes.shape, bias=False)
    torch.nn.utils.parametrizations.orthogonal(turn, orthogonal_map="matrix_exp")
    turn.weight = torch.from_numpy(axes.T.copy())
    coolness = torch.nn.Parameter(torch.full((len(widths),), -math.log(2 * _TEMPERATURE)))
    batches = [batch for kind in kinds for batch in torch.from_numpy(kind).split(_BATCH)]
    batches = [batch for batch in batches if len(batch) > 1]
    optimiser = torch.optim.LBFGS(
        [*turn.parameters(), coolness], max_iter=steps, line_search_fn="strong_wolfe"
    )

    def loss() -> Any:
        optimiser.zero_grad()
        parts = [_divergence(batch, turn.weight.T, widths, coolness.exp()) for batch in batches]
        total = torch.stack(parts).mean()
        total.backward()
        return total.detach()

    optimiser.step(loss)
    return polar(turn.weight.detach().T.numpy())


def polar(matrix: Matrix) -> Matrix:
    """The orthonormal matrix that is closest to it."""
    left, _, right = np.linalg.svd(matrix.astype(np.float64))
    return (left @ right).astype(np.float32)


def _divergence(batch: Any, turn: Any, widths: Sequence[int], factors: Any) -> Any:
    torch: Any = require("torch", "training")
    itself = 1e4 * torch.eye(len(batch))  # No text is asked for itself.
    wanted = torch.log_softmax(batch @ batch.T / _TEMPERATURE - itself, dim=1)
    turned = batch @ turn
    total = torch.zeros(())
    for width, factor in zip(widths, factors, strict=True):
        cut = torch.nn.functional.normalize(turned[:, :width], dim=1)
        given = torch.log_softmax(factor * (cut @ cut.T) - itself, dim=1)
        total = total + torch.nn.functional.kl_div(given, wanted, log_target=True, reduction="batchmean")
    return total


def written(columns: Matrix, figures: str, into: Path) -> Path:
    """The folder with weights and card."""
    safetensors = require("safetensors.numpy", "training")
    folder = into / NAME
    folder.mkdir(parents=True, exist_ok=True)
    safetensors.save_file({"columns": columns.astype(np.float16)}, folder / "model.safetensors")
    card = _CARD.format(
        name=NAME,
        widths=", ".join(map(str, WIDTHS)),
        pairs=_EACH,
        sources=", ".join(SOURCES),
        words=_WORDS,
        figures=figures,
    )
    (folder / "README.md").write_text(card, encoding="utf-8")
    return folder


def kinds_of(data: Path) -> list[Matrix]:
    """Vectors of what is learned from, kind by kind: each source, words, three words."""
    pairs = open_pairs(data, _EACH)
    model = DenseEncoder(DenseLeg(model=PRESET.name, max_length=_READ))
    queries = model.encode_queries([pair.query for pair in pairs]).dense
    passages = model.encode_documents([EmbedText(pair.positive) for pair in pairs]).dense
    assert queries is not None and passages is not None  # noqa: S101
    sources = [pair.group.split(":")[0] for pair in pairs]
    made: list[Matrix] = []
    for source in dict.fromkeys(sources):
        own = [n for n, other in enumerate(sources) if other == source]
        made.append(mixed(queries[own], passages[own]))
    return [*made, *word_kinds()]


def word_kinds() -> list[Matrix]:
    """Vectors of single words of the vocabulary, and of three at random."""
    transformers = require("transformers", "training")
    folder = find_weights(PRESET.hub_id, PRESET.package).path
    known = words(list(transformers.AutoTokenizer.from_pretrained(folder).get_vocab()))
    draw = random.Random(0)
    together = [" ".join(draw.sample(known, _TOGETHER)) for _ in range(_WORDS)]
    model = DenseEncoder(DenseLeg(model=PRESET.name))
    made = [model.encode_queries(texts).dense for texts in (known[:_WORDS], together)]
    return [vectors for vectors in made if vectors is not None]


def mixed(queries: Matrix, passages: Matrix) -> Matrix:
    """Both, in an order that is always the same: a batch has some of either."""
    vectors = np.concatenate([queries, passages])
    return vectors[np.random.default_rng(0).permutation(len(vectors))]


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description="The cold-start rotation of all-MiniLM-L6-v2.")
    parser.add_argument("--data", type=Path, required=True, help="has train-pairs/pairs.jsonl.gz")
    parser.add_argument("--into", type=Path, required=True)
    parser.add_argument("--figures", type=Path, help="a Markdown table of them, for the card")
    given = parser.parse_args()
    figures = given.figures.read_text(encoding="utf-8").strip() if given.figures else "Not measured yet."
    written(learned(kinds_of(given.data)), figures, given.into)


if __name__ == "__main__":
    main()
