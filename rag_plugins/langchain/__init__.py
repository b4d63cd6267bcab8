"""LangChain's classes over rag-plugins: convert and delegate."""

from rag_plugins.errors import require

require("langchain_core", extra="langchain")

from rag_plugins.langchain.compressor import CrossEncoderCompressor  # noqa: E402
from rag_plugins.langchain.convert import from_document, image_content, to_document  # noqa: E402
from rag_plugins.langchain.document_index import RagDocumentIndex  # noqa: E402
from rag_plugins.langchain.embeddings import MatryoshkaEmbeddings  # noqa: E402
from rag_plugins.langchain.foreign import from_langchain  # noqa: E402
from rag_plugins.langchain.llm import expander, talk  # noqa: E402
from rag_plugins.langchain.loader import OcrLoader  # noqa: E402
from rag_plugins.langchain.retriever import HybridRetriever  # noqa: E402
from rag_plugins.langchain.sparse import SparseEmbeddings  # noqa: E402
from rag_plugins.langchain.vector_store import RagVectorStore  # noqa: E402

__all__ = [
    "CrossEncoderCompressor",
    "HybridRetriever",
    "MatryoshkaEmbeddings",
    "OcrLoader",
    "RagDocumentIndex",
    "RagVectorStore",
    "SparseEmbeddings",
    "expander",
    "from_document",
    "from_langchain",
    "image_content",
    "talk",
    "to_document",
]
