"""The conformance suites of langchain-tests for stores, none of their tests overridden: file and server."""

import uuid

import pytest
from langchain_core.documents import Document
from langchain_tests.integration_tests import RetrieversIntegrationTests, VectorStoreIntegrationTests
from langchain_tests.integration_tests.indexer import AsyncDocumentIndexTestSuite, DocumentIndexerTestSuite

from rag_plugins.langchain import RagDocumentIndex, RagVectorStore


@pytest.fixture(scope="module", params=["file", "server"])
def opened(request, tmp_path_factory):
    """A store as a user of other vector stores makes it, shared, since opening one takes a while."""
    file = tmp_path_factory.mktemp("standard") / "store.db"
    uri = file if request.param == "file" else request.getfixturevalue("milvus_server")
    embedding = VectorStoreIntegrationTests.get_embeddings()
    with RagVectorStore.from_texts([], embedding, path=uri, collection=f"test_{uuid.uuid4().hex}") as store:
        yield store


@pytest.fixture
def store(opened):
    yield opened
    opened.delete()


@pytest.fixture
def documents(store):
    return RagDocumentIndex(store=store)


class TestRagVectorStoreStandard(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, store):
        return store


class TestRagDocumentIndexStandard(DocumentIndexerTestSuite):
    @pytest.fixture
    def index(self, documents):
        return documents


class TestRagDocumentIndexStandardAsync(AsyncDocumentIndexTestSuite):
    @pytest.fixture
    async def index(self, documents):
        return documents


class TestRagDocumentIndexStandardRetriever(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def _use(self, documents):
        documents.upsert([Document(page_content=f"Tank number {n} holds water.") for n in range(8)])
        self.store = documents.store

    @property
    def retriever_constructor(self):
        return RagDocumentIndex

    @property
    def retriever_constructor_params(self):
        return {"store": self.store}

    @property
    def retriever_query_example(self):
        return "which tank holds water?"


def test_a_document_index_is_a_retriever(documents):
    documents.upsert([Document(id=str(n), page_content=f"Tank {n} holds water.") for n in range(6)])

    assert len(documents.invoke("which tank holds water?")) == 4
    assert [found.id for found in documents.invoke("Tank 3 holds water.", k=1)] == ["3"]
    assert documents.delete(["3", "3", "unknown"])["succeeded"] == ["3"]
