"""What is known about usual rerankers, declared as data. All are published as safetensors."""

from __future__ import annotations

from collections.abc import Mapping

from rag_plugins.models.facts import RerankerPreset

__all__ = ["RERANKER_PRESETS"]

_MXBAI = (
    "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
    "<|im_start|>user\n",
    "instruction: {instruction}\nquery: {query}",
    "\n",
    "document: {document}",
    "\n",
    "You are a search relevance expert who evaluates how well documents match search queries. For each "
    "query-document pair, carefully analyze the semantic relationship between them, then provide your binary "
    "relevance judgment (0 for not relevant, 1 for relevant).\nRelevance:",
    "<|im_end|>\n<|im_start|>assistant\n",
)
_QWEN3 = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the "
    'Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n',
    "<Instruct>: {instruction}\n<Query>: {query}\n<Document>: {document}",
    "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
)
_QWEN3_TASK = "Given a web search query, retrieve relevant passages that answer the query"
_GEMMA = (
    "<bos>",
    "A: {query}",
    "\n",
    "B: {document}",
    "\n",
    "Given a query A and a passage B, determine whether the passage contains an answer to the query by "
    "providing a prediction of either 'Yes' or 'No'.",
)


def _sentence_pairs(name: str) -> RerankerPreset:
    return RerankerPreset(name, f"cross-encoder/{name}", "Apache-2.0", 512, "probability")


def _ms_marco(name: str) -> RerankerPreset:
    return RerankerPreset(name, f"cross-encoder/{name}", "Apache-2.0", 512, "logit")


def _ettin(size: str) -> RerankerPreset:
    name = f"ettin-reranker-{size}-v1"
    return RerankerPreset(name, f"cross-encoder/{name}", "Apache-2.0", 7999, "logit")


def _mxbai_v1(size: str) -> RerankerPreset:
    name = f"mxbai-rerank-{size}-v1"
    return RerankerPreset(name, f"mixedbread-ai/{name}", "Apache-2.0", 512, "probability")


def _mxbai_v2(size: str) -> RerankerPreset:
    """Its authors count 8192 tokens besides the template."""
    name = f"mxbai-rerank-{size}-v2"
    return RerankerPreset(
        name, f"mixedbread-ai/{name}", "Apache-2.0", 8192, "logit", template=_MXBAI, answers=("1", "0")
    )


def _qwen3(size: str) -> RerankerPreset:
    name = f"Qwen3-Reranker-{size}"
    return RerankerPreset(
        name, f"Qwen/{name}", "Apache-2.0", 8192, "probability", template=_QWEN3, instruction=_QWEN3_TASK
    )


def _qwen3_vl(size: str) -> RerankerPreset:
    """Its folder has instruction and template. A page takes up to 1800 tokens; its authors read 10240."""
    name = f"Qwen3-VL-Reranker-{size}"
    return RerankerPreset(name, f"Qwen/{name}", "Apache-2.0", 8192, "logit", images=True)


_RERANKERS = (
    _ms_marco("ms-marco-MiniLM-L-6-v2"),
    _ms_marco("ms-marco-MiniLM-L-12-v2"),
    _ms_marco("ms-marco-MiniLM-L-4-v2"),
    _ms_marco("ms-marco-MiniLM-L-2-v2"),
    _ms_marco("ms-marco-TinyBERT-L-2-v2"),
    _ms_marco("ms-marco-electra-base"),
    RerankerPreset("bge-reranker-base", "BAAI/bge-reranker-base", "MIT", 512, "probability"),
    RerankerPreset("bge-reranker-large", "BAAI/bge-reranker-large", "MIT", 512, "probability"),
    # Takes 8192 tokens, but was fine-tuned with 1024, which its authors recommend.
    RerankerPreset("bge-reranker-v2-m3", "BAAI/bge-reranker-v2-m3", "Apache-2.0", 1024, "probability"),
    # Says "Yes", and nothing is made of "No". Its authors count 1024 tokens without the last segment.
    RerankerPreset(
        "bge-reranker-v2-gemma",
        "BAAI/bge-reranker-v2-gemma",
        "Apache-2.0",
        1024,
        "logit",
        template=_GEMMA,
        answers=("Yes", None),
    ),
    _mxbai_v1("xsmall"),
    _mxbai_v1("base"),
    _mxbai_v1("large"),
    _mxbai_v2("base"),
    _mxbai_v2("large"),
    _qwen3("0.6B"),
    _qwen3("4B"),
    _qwen3("8B"),
    RerankerPreset(
        "gte-reranker-modernbert-base",
        "Alibaba-NLP/gte-reranker-modernbert-base",
        "Apache-2.0",
        8192,
        "probability",
    ),
    # transformers has a class for its weights, so that none of its own code is needed.
    RerankerPreset(
        "gte-multilingual-reranker-base",
        "Alibaba-NLP/gte-multilingual-reranker-base",
        "Apache-2.0",
        8192,
        "probability",
    ),
    RerankerPreset(
        "granite-embedding-reranker-english-r2",
        "ibm-granite/granite-embedding-reranker-english-r2",
        "Apache-2.0",
        8192,
        "logit",
    ),
    _ettin("17m"),
    _ettin("32m"),
    _ettin("68m"),
    _ettin("150m"),
    _ettin("400m"),
    _ettin("1b"),
    _qwen3_vl("2B"),
    _qwen3_vl("8B"),
    # For the likeness of sentences: how alike they are, and whether two questions ask the same.
    _sentence_pairs("stsb-distilroberta-base"),
    _sentence_pairs("stsb-roberta-base"),
    _sentence_pairs("quora-distilroberta-base"),
    _sentence_pairs("quora-roberta-base"),
)

RERANKER_PRESETS: Mapping[str, RerankerPreset] = {preset.name: preset for preset in _RERANKERS}
