"""The most similar two of n sentences, by n encodings or by n (n - 1) / 2 pairs: what each costs and gives.

    python examples/bi_vs_cross.py [CROSS_ENCODER]

CROSS_ENCODER is a name that `rag-plugins presets` lists, a folder or a hub id. Without one, a cross-encoder
as large as the bi-encoder gets RANDOM weights: what it costs is real, what it says is not. Reimers and
Gurevych (Sentence-BERT, arXiv:1908.10084) tell of 65 hours by pairs and 5 seconds by encodings for 10,000.
"""

import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import numpy as np

from rag_plugins import CrossEncoderReranker, EmbedText
from rag_plugins.config import DenseLeg
from rag_plugins.models.backend import find_weights
from rag_plugins.models.dense import DenseEncoder
from rag_plugins.models.presets import DENSE_PRESETS

MODEL, MANY, READ = "all-MiniLM-L6-v2", 10_000, 20
HANDBOOK = Path(__file__).parent / "documents" / "source" / "handbook.md"
T = TypeVar("T")


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """What it gives, and the seconds that it takes."""
    start = time.perf_counter()
    return work(), time.perf_counter() - start


def random_cross_encoder(folder: str) -> str:
    """A reader of pairs with the bi-encoder's architecture and tokenizer, never trained."""
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    preset = DENSE_PRESETS[MODEL]
    like = find_weights(preset.hub_id, preset.package).path
    AutoTokenizer.from_pretrained(like).save_pretrained(folder)
    config = AutoConfig.from_pretrained(like, num_labels=1)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    return folder


def pair(best: int) -> str:
    """Its sentences."""
    return f"    {sentences[first[best]]}\n    {sentences[second[best]]}"


sentences = re.findall(r"[A-Z][^.|#\n]{30,120}\.", HANDBOOK.read_text(encoding="utf-8"))[:30]
first, second = np.triu_indices(len(sentences), 1)
pairs = [(sentences[a], sentences[b]) for a, b in zip(first, second, strict=True)]
with TemporaryDirectory() as folder:
    bi = DenseEncoder(DenseLeg(model=MODEL))
    cross = CrossEncoderReranker(sys.argv[1] if sys.argv[1:] else random_cross_encoder(folder))
    # Models load on first use, which is no part of what is measured.
    bi.encode_documents([EmbedText("warm")])
    cross.score_pairs([("warm", "up")])
    encoding, encoded = timed(lambda: bi.encode_documents([EmbedText(sentence) for sentence in sentences]))
    vectors = np.asarray(encoding.dense)
    cosines, compared = timed(lambda: (vectors @ vectors.T)[first, second])
    scores, read = timed(lambda: cross.score_pairs(pairs))

n, all_pairs = len(sentences), MANY * (MANY - 1) // 2
print(f"{n} sentences: {n} encodings took {encoded:.2f} s, {len(pairs)} cosines {1e6 * compared:.0f} µs")
print(f"most alike by {MODEL}, cosine {cosines.max():.2f}:\n{pair(int(cosines.argmax()))}")
name = cross.name if sys.argv[1:] else "a cross-encoder with RANDOM weights, which says nothing"
print(f"{len(pairs)} pairs took {read:.2f} s\nmost alike by {name}:\n{pair(int(scores.argmax()))}")
few = np.argsort(-cosines)[:READ]
print(f"of the {READ} pairs with the highest cosine, by the same:\n{pair(int(few[scores[few].argmax()]))}")
bi_hours, pair_hours = MANY * encoded / n / 3600, read / len(pairs) / 3600
print(f"\n{MANY:,} sentences at these rates (extrapolated, not run, cosines left out):")
print(f"  {MANY:>10,} encodings {bi_hours:10.3f} hours")
print(f"  {all_pairs:>10,} pairs     {all_pairs * pair_hours:10.3f} hours")
print(f"  {MANY:>10,} encodings {bi_hours + READ * pair_hours:10.3f} hours, with the best {READ} pairs read")
