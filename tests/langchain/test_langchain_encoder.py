import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from rag_plugins import Config, EmbedText
from rag_plugins.config import Bm25Leg, DenseLeg
from rag_plugins.errors import CollectionMismatch, ConfigError
from rag_plugins.langchain import HybridRetriever, from_langchain

CONFIG = Config(legs=(DenseLeg(), Bm25Leg()), rerank=())
TEXTS = ["The red lamp means empty.", "Change the filter.", "Distilled water only."]


class Letters(Embeddings):
    """Counts letters; a query is told from a document by its last number."""

    def _count(self, text, side):
        return [float(text.lower().count(letter)) for letter in "abcdefghijklmnopqrstuvwxyz"] + [side]

    def embed_documents(self, texts):
        return [self._count(text, 1.0) for text in texts]

    def embed_query(self, text):
        return self._count(text, -1.0)


def test_queries_and_documents_go_to_their_own_methods():
    encoder = from_langchain(Letters(), name="letters", query_prompt="b")
    query, document = encoder.encode_queries(["a"]).dense, encoder.encode_documents([EmbedText("a")]).dense
    np.testing.assert_allclose(query[0, [0, 1, 26]], np.array([1, 1, -1]) / np.sqrt(3), rtol=1e-6)
    np.testing.assert_allclose(document[0, [0, 1, 26]], np.array([1, 0, 1]) / np.sqrt(2), rtol=1e-6)
    assert encoder.dim == 27


def test_a_hosted_model_brings_its_widths():
    assert from_langchain(Letters(), name="text-embedding-3-large", dim=3072).matryoshka == (256, 1024, 3072)
    assert from_langchain(Letters(), name="text-embedding-3-large", matryoshka=(8,)).matryoshka == (8,)


def test_a_retriever_over_ones_own_embeddings(tmp_path):
    documents = [Document(page_content=text) for text in TEXTS]
    encoders = {"dense": from_langchain(Letters(), name="letters")}
    path = tmp_path / "a.db"
    with HybridRetriever.from_documents(documents, path, config=CONFIG, encoders=encoders, k=1) as retriever:
        [found] = retriever.invoke("filter change")
        assert found.page_content == "Change the filter."
        assert [stage["stage"] for stage in found.metadata["rag_plugins"]["trace"][:2]] == ["dense", "bm25"]
    with pytest.raises(CollectionMismatch):
        encoders = {"dense": from_langchain(Letters(), name="other letters")}
        HybridRetriever.from_documents([], path, config=CONFIG, encoders=encoders)


def test_token_vectors_cannot_be_had_of_them(tmp_path):
    with pytest.raises(ConfigError, match="token vectors"):
        HybridRetriever.from_documents(
            [], tmp_path / "a.db", encoders={"dense": from_langchain(Letters(), name="letters")}
        )


def colours(path):
    """Mean red, green and blue of a file."""
    from PIL import Image

    return [float(np.asarray(Image.open(path).convert("RGB"))[..., channel].mean()) for channel in range(3)]


class Colours(Embeddings):
    """As OpenCLIPEmbeddings and others do it: a list of paths, and queries into the same space."""

    def embed_documents(self, texts):
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text):
        return [float(colour in text) + 0.1 for colour in ("red", "green", "blue")]

    def embed_image(self, uris):
        return [colours(uri) for uri in uris]


class NamedInThePlural(Colours):
    """As VertexAIEmbeddings does it, where the singular takes one path."""

    def embed_image(self, image_path):
        return colours(image_path)

    def embed_images(self, uris):
        return [colours(uri) for uri in uris]


def sheet(colour):
    from io import BytesIO

    from PIL import Image

    buffer = BytesIO()
    Image.new("RGB", (8, 8), colour).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("embeddings", [Colours(), NamedInThePlural()])
def test_embeddings_of_images_put_both_into_one_space(embeddings):
    encoder = from_langchain(embeddings, name="colours")
    sheets = encoder.encode_images([sheet("red"), sheet("lime"), sheet("blue")]).dense
    queries = encoder.encode_queries(["a blue page", "red", "green"]).dense
    assert (queries @ sheets.T).argmax(axis=1).tolist() == [2, 0, 1]
    assert encoder.dim == 3
    assert encoder.encode_documents([EmbedText("blue")]).dense.shape == (1, 3)


def test_embeddings_of_texts_read_no_images():
    assert not hasattr(from_langchain(Letters(), name="letters"), "encode_images")
