"""LlamaIndex's classes over rag-plugins: convert and delegate."""

from rag_plugins.errors import require

require("llama_index.core", extra="llama-index")

from rag_plugins.llama_index.convert import from_node, to_node  # noqa: E402
from rag_plugins.llama_index.embedding import LegEmbedding, MatryoshkaEmbedding  # noqa: E402
from rag_plugins.llama_index.foreign import from_llama_index  # noqa: E402
from rag_plugins.llama_index.llm import expander, talk  # noqa: E402
from rag_plugins.llama_index.pages import to_image_node  # noqa: E402
from rag_plugins.llama_index.postprocessor import CrossEncoderPostprocessor  # noqa: E402
from rag_plugins.llama_index.reader import OcrReader  # noqa: E402
from rag_plugins.llama_index.retriever import HybridQuery, HybridRetriever  # noqa: E402
from rag_plugins.llama_index.sparse import SparseEmbedding  # noqa: E402
from rag_plugins.llama_index.vector_store import RagVectorStore  # noqa: E402

__all__ = [
    "CrossEncoderPostprocessor",
    "HybridQuery",
    "HybridRetriever",
    "LegEmbedding",
    "MatryoshkaEmbedding",
    "OcrReader",
    "RagVectorStore",
    "SparseEmbedding",
    "expander",
    "from_node",
    "from_llama_index",
    "talk",
    "to_image_node",
    "to_node",
]
