"""text-embedding-3-large through LlamaIndex' own client, against a service on this machine."""

import numpy as np
import openai
import openai_stub
import pytest
from llama_index.core.schema import TextNode
from openai_stub import (
    MODEL,
    PASSAGES,
    QUERIES,
    check_funnel,
    check_prefixes,
    embedding,
    filled,
    opened,
    ranking,
)

from rag_plugins import EmbedText, Funnel
from rag_plugins.llama_index import HybridRetriever, from_llama_index, from_node

OpenAIEmbedding = pytest.importorskip("llama_index.embeddings.openai").OpenAIEmbedding


@pytest.fixture(scope="module")
def service():
    with openai_stub.openai_stub() as service:
        yield service


@pytest.fixture(scope="module")
def client(service):
    """Makes clients of the service, with these settings, and closes them."""
    made = []

    def make(**settings):
        plain = {"model": MODEL, "api_key": openai_stub.KEY, "embed_batch_size": 500, "max_retries": 0}
        made.append(OpenAIEmbedding(api_base=service.url, **{**plain, **settings}))
        return made[-1]

    yield make
    for embeddings in made:
        embeddings._get_client().close()


@pytest.fixture(scope="module")
def collection_path(tmp_path_factory, client):
    """A collection of 600 passages, made once."""
    path = tmp_path_factory.mktemp("openai") / "large.db"
    filled(path, from_llama_index(client(), name=MODEL)).close()
    return path


def test_the_funnel_over_its_widths_finds_what_the_exact_search_does(collection_path, client):
    encoder = from_llama_index(client(), name=MODEL)
    assert (encoder.dim, encoder.matryoshka) == (3072, (256, 1024, 3072))
    with opened(collection_path, encoder) as index:
        check_funnel(index)
    with opened(collection_path, encoder, Funnel([(256,)])) as index:
        check_prefixes(index)


async def test_a_retriever_over_it(collection_path, client, service):
    with opened(collection_path, from_llama_index(client(), name=MODEL)) as index:
        index.add([from_node(TextNode(id_="x", text="baltese baltese"), index)])
        retriever = HybridRetriever(index, k=1)
        service.requests.clear()
        assert [found.node_id for found in await retriever.aretrieve("baltese")] == ["x"]
        assert [request["texts"] for request in service.requests] == [["baltese"]]
        assert index.delete("x") == 1


@pytest.mark.parametrize(("told", "asked"), [({}, "base64"), ({"encoding_format": "float"}, "float")])
def test_both_forms_of_its_answers(client, service, told, asked):
    embeddings = client(additional_kwargs=told, embed_batch_size=2)
    service.requests.clear()
    encoder = from_llama_index(embeddings, name=MODEL, dim=3072)
    made = encoder.encode_documents([EmbedText(text) for text in PASSAGES[:5]])
    np.testing.assert_allclose(made.dense, [embedding(text, 3072) for text in PASSAGES[:5]], atol=1e-6)
    assert [request["encoding_format"] for request in service.requests] == [asked] * 3


def test_shorter_vectors_are_asked_for_and_have_fewer_widths(client):
    encoder = from_llama_index(client(dimensions=1024), name=MODEL)
    assert (encoder.dim, encoder.matryoshka) == (1024, (256, 1024))
    [made] = encoder.encode_queries(QUERIES[:1]).dense
    np.testing.assert_allclose(made, embedding(QUERIES[0], 1024), atol=1e-6)


def test_a_collection_made_through_the_other_frameworks_client(collection_path, client, service):
    langchain_openai = pytest.importorskip("langchain_openai")
    from rag_plugins.langchain import from_langchain

    theirs = langchain_openai.OpenAIEmbeddings(
        model=MODEL, api_key=openai_stub.KEY, base_url=service.url, check_embedding_ctx_length=False
    )
    with opened(collection_path, from_llama_index(client(), name=MODEL)) as index:
        expected = [ranking(index, query) for query in QUERIES]
    with opened(collection_path, from_langchain(theirs, name=MODEL)) as index:
        assert [ranking(index, query) for query in QUERIES] == expected
    theirs.client._client.close()


def test_errors_of_the_service_pass_through_without_the_key(client):
    encoder = from_llama_index(client(api_key="sk-canary"), name=MODEL, dim=3072)
    with pytest.raises(openai.AuthenticationError) as caught:
        encoder.encode_queries(["a"])
    assert caught.value.__notes__ == [f"{MODEL} was to embed 1 texts"]
    assert "canary" not in f"{caught.value} {encoder!r} {vars(encoder)}"
