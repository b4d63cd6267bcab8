"""A fresh process for each backend: what others left in memory would hide what is measured."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_models import WORDS, make_tokenizer

ROOT = Path(__file__).parents[3]

RERANK = """
import sys
from benchmarks.cross_encoders import ours
from benchmarks.memory import peak_bytes
folder, backend, *passages = sys.argv[1:]
side = ours(folder, backend=backend)
for pairs in (100, 1000):
    side.score("which pump?", side.prepare(passages * (pairs // len(passages))))
    print(peak_bytes())
"""


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """A token takes 8 KB on its way through it: all of 1000 passages at once would take 1 GB."""
    from transformers import BertConfig, BertForSequenceClassification

    folder = tmp_path_factory.mktemp("wide")
    tokenizer = make_tokenizer()
    tokenizer.model_max_length = 256
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,  # The last one computes one token.
        num_attention_heads=4,
        intermediate_size=2048,
        max_position_embeddings=256,
        num_labels=1,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_a_thousand_pairs_take_hardly_more_than_a_hundred(wide, tmp_path, backend):
    if backend == "openvino":
        pytest.importorskip("openvino")
    draw = random.Random(0)
    words = [word for word in WORDS if word.isalpha()]
    passages = [" ".join(draw.choices(words, k=draw.randint(20, 240))) for _ in range(50)]
    done = subprocess.run(
        [sys.executable, "-c", RERANK, wide, backend, *passages],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    hundred, thousand = map(int, done.stdout.split())
    assert thousand < 1.3 * hundred
