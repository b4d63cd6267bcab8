import numpy as np
import pytest
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.embeddings import MultiModalEmbedding
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


class Colours(MultiModalEmbedding):
    """Texts and images by red, green and blue, three numbers each."""

    def _get_text_embedding(self, text):
        return [float(colour in text) + 0.1 for colour in ("red", "green", "blue")]

    def _get_query_embedding(self, query):
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query):
        return self._get_query_embedding(query)

    def _get_image_embedding(self, img_file_path):
        from PIL import Image

        pixels = np.asarray(Image.open(img_file_path).convert("RGB"))
        return [float(pixels[..., channel].mean()) for channel in range(3)]

    async def _aget_image_embedding(self, img_file_path):
        return self._get_image_embedding(img_file_path)


def sheet(colour):
    from io import BytesIO

    from PIL import Image

    buffer = BytesIO()
    Image.new("RGB", (8, 8), colour).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_multimodal_embedding_puts_both_into_one_space():
    encoder = from_llama_index(Colours(embed_batch_size=2), name="colours")
    sheets = encoder.encode_images([sheet("red"), sheet("lime"), sheet("blue")]).dense
    queries = encoder.encode_queries(["a blue page", "red", "green"]).dense
    assert (queries @ sheets.T).argmax(axis=1).tolist() == [2, 0, 1]
    assert encoder.dim == 3
    assert encoder.encode_documents([EmbedText("blue")]).dense.shape == (1, 3)


def test_an_embedding_of_texts_reads_no_images():
    assert not hasattr(from_llama_index(Letters(), name="letters"), "encode_images")
