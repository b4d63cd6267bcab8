"""The systems beside us on a small set, and what is said of them together."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # benchmarks/ is part of the repository, not of the package.

from benchmarks.peers.__main__ import Measured, summary  # noqa: E402
from benchmarks.peers.vectors import Remembering  # noqa: E402
from rag_plugins.config import DenseLeg  # noqa: E402
from rag_plugins.models.dense import DenseEncoder  # noqa: E402
from rag_plugins.models.protocols import Representation  # noqa: E402
from rag_plugins.models.tokens import pack_tokens  # noqa: E402
from rag_plugins.types import EmbedText  # noqa: E402

TEXTS = [
    f"The {part} number {n} is in cabinet {n % 7}." for n, part in enumerate(["pump", "valve", "lamp"] * 12)
]


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "corpus.jsonl").write_text(
        "".join(
            json.dumps({"_id": f"d{n}", "title": "", "text": text}) + "\n" for n, text in enumerate(TEXTS)
        )
    )
    (folder / "queries.jsonl").write_text(
        "".join(
            json.dumps({"_id": f"q{n}", "text": f"{TEXTS[n].split()[1]} number {n}"}) + "\n" for n in range(6)
        )
    )
    (folder / "qrels.tsv").write_text("".join(f"q{n}\td{n}\t1\n" for n in range(6)))
    return folder


def test_ours_and_peers_in_one_run(folder, tmp_path):
    plot = tmp_path / "peers.svg"
    peers = ("bm25s", "dense", "langchain", "llama_index", "llama_index_rrf", "langchain_milvus")
    command = [sys.executable, "-m", "benchmarks.peers", "--data", folder, "--cache", tmp_path, "--slow", "4"]
    done = subprocess.run(
        [*map(str, command), "--plot", str(plot), "--peers", *peers], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    value = json.loads(done.stdout.splitlines()[-1])
    found = value["sets"]["tiny"]
    assert set(found) == {"ours_fused", "ours_reranked", *peers}, done.stderr
    assert found["ours_fused"]["ndcg@10"] > 0.9 and found["bm25s"]["ndcg@10"] > 0.5
    assert found["langchain"]["questions"] == found["langchain_milvus"]["questions"] == 4
    assert found["dense"]["questions"] == 6 and found["dense"]["recall@100"] == 1.0
    assert value["best_peer_name"] in peers and plot.exists()


def of(ndcg, ours=None, questions=10):
    fused = ndcg if ours is None else ours
    return Measured(ndcg, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, questions, fused, fused)


def test_the_best_peer_is_one_and_the_worst_set_counts():
    sets = {
        "a": {"ours_fused": of(0.8), "ours_reranked": of(0.85, 0.8), "x": of(0.81, 0.8), "y": of(0.5, 0.8)},
        "b": {"ours_fused": of(0.6), "ours_reranked": of(0.7, 0.6), "x": of(0.5, 0.6), "y": of(0.59, 0.6)},
    }
    told = summary(sets)
    assert (told["ours_fused"], told["ours_reranked"]) == (0.7, 0.775)
    assert (told["best_peer_name"], told["best_peer"]) == ("x", 0.655)
    assert told["worst_vs_set_best"] == pytest.approx(-0.01)


def test_a_peer_that_was_asked_less_is_compared_on_the_same_questions():
    sets = {"a": {"ours_fused": of(0.8), "ours_reranked": of(0.8), "x": of(0.7, 0.75, 3)}}
    told = summary(sets)  # Ours has .05 more on all of them than on those three.
    assert told["best_peer"] == pytest.approx(0.75) and told["worst_vs_set_best"] == pytest.approx(0.05)


def test_what_a_model_made_of_documents_is_kept_by_model_and_text(tmp_path):
    model = DenseEncoder(DenseLeg())
    both = frozenset({Representation.DENSE, Representation.TOKENS})
    texts = [EmbedText("a pump"), EmbedText("a valve in a cabinet")]
    first = Remembering(model, tmp_path).encode_documents(texts, both)
    made = model.encode_documents(texts, both)
    np.testing.assert_array_equal(first.dense, made.dense)
    # In a collection they are what the model's own would be.
    assert [*map(pack_tokens, first.tokens)] == [*map(pack_tokens, made.tokens)]

    def again(views, want):
        raise AssertionError(f"encoded again: {views}")

    model.encode_documents = again
    kept = Remembering(model, tmp_path).encode_documents(texts[::-1], both)
    np.testing.assert_array_equal(kept.dense, first.dense[::-1])
    with pytest.raises(AssertionError, match="another"):
        Remembering(model, tmp_path).encode_documents([EmbedText("another")])
    model.release()
