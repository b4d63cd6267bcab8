import numpy as np
import pytest
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.schema import Document

from rag_plugins import Config, EmbedText
from rag_plugins.config import Bm25Leg, DenseLeg
from rag_plugins.errors import CollectionMismatch
from rag_plugins.llama_index import HybridRetriever, MatryoshkaEmbedding, from_llama_index

CONFIG = Config(legs=(DenseLeg(), Bm25Leg()), rerank=())
TEXTS = ["The red lamp means empty.", "Change the filter.", "Distilled water only."]


class Letters(BaseEmbedding):
    """Counts letters; a query is told from a document by its last number."""

    def _count(self, text, side):
        return [float(text.lower().count(letter)) for letter in "abcdefghijklmnopqrstuvwxyz"] + [side]

    def _get_text_embedding(self, text):
        return self._count(text, 1.0)

    def _get_query_embedding(self, query):
        return self._count(query, -1.0)

    async def _aget_query_embedding(self, query):
        return self._get_query_embedding(query)


def test_queries_and_documents_go_to_their_own_methods():
    encoder = from_llama_index(Letters(embed_batch_size=2), name="letters", document_prompt="b")
    query = encoder.encode_queries(["a"]).dense
    documents = encoder.encode_documents([EmbedText("a"), EmbedText("bb"), EmbedText("c")]).dense
    np.testing.assert_allclose(query[0, [0, 1, 26]], np.array([1, 0, -1]) / np.sqrt(2), rtol=1e-6)
    np.testing.assert_allclose(documents[0, [0, 1, 26]], np.array([1, 1, 1]) / np.sqrt(3), rtol=1e-6)
    np.testing.assert_allclose(documents[1, [0, 1, 26]], np.array([0, 3, 1]) / np.sqrt(10), rtol=1e-6)
    assert documents.shape == (3, 27)


def test_a_hosted_model_brings_its_widths():
    encoder = from_llama_index(Letters(), name="text-embedding-3-large", dim=3072)
    assert encoder.matryoshka == (256, 1024, 3072)


def test_a_retriever_over_ones_own_embeddings(tmp_path):
    documents = [Document(text=text, id_=str(n)) for n, text in enumerate(TEXTS)]
    encoders = {"dense": from_llama_index(Letters(), name="letters")}
    path = tmp_path / "a.db"
    with HybridRetriever.from_documents(documents, path, config=CONFIG, encoders=encoders, k=1) as retriever:
        [found] = retriever.retrieve("filter change")
        assert found.node.get_content() == "Change the filter."
    with pytest.raises(CollectionMismatch):
        encoders = {"dense": from_llama_index(Letters(), name="other letters")}
        HybridRetriever.from_nodes([], path, config=CONFIG, encoders=encoders)


def test_our_own_face_turned_round_gives_the_same_vectors():
    face = MatryoshkaEmbedding()
    encoder = from_llama_index(face, name="all-MiniLM-L6-v2", dim=384)
    np.testing.assert_allclose(
        encoder.encode_queries(["a pump"]).dense[0], face.get_query_embedding("a pump"), atol=1e-6
    )
