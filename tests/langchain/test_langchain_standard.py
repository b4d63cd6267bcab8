"""The conformance suites of langchain-tests, none of their tests overridden."""

import pytest
from langchain_tests.integration_tests import EmbeddingsIntegrationTests, RetrieversIntegrationTests
from langchain_tests.unit_tests import EmbeddingsUnitTests

from rag_plugins import RagIndex
from rag_plugins.langchain import HybridRetriever, MatryoshkaEmbeddings


@pytest.fixture(scope="module")
def tanks(tmp_path_factory):
    with RagIndex.open(tmp_path_factory.mktemp("standard") / "tanks.db", preset="lexical") as index:
        index.add([index.passage(f"Tank number {n} holds water.") for n in range(8)])
        yield index


class TestHybridRetrieverStandard(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def _use(self, tanks):
        self.tanks = tanks

    @property
    def retriever_constructor(self):
        return HybridRetriever

    @property
    def retriever_constructor_params(self):
        return {"index": self.tanks}

    @property
    def retriever_query_example(self):
        return "which tank holds water?"


class TestMatryoshkaEmbeddingsUnit(EmbeddingsUnitTests):
    @property
    def embeddings_class(self):
        return MatryoshkaEmbeddings


class TestMatryoshkaEmbeddingsIntegration(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self):
        return MatryoshkaEmbeddings

    @property
    def embedding_model_params(self):
        return {"model": "all-MiniLM-L6-v2"}
