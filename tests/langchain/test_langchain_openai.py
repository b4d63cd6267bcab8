"""text-embedding-3-large through LangChain's own client, against a service on this machine.

`OpenAIEmbeddings` counts tokens with tiktoken, which downloads its vocabulary on first use. With
`check_embedding_ctx_length=False` it sends texts as they are, and needs none: the setting for machines
without a network, and for services that are only like OpenAI's.
"""

import numpy as np
import openai
import openai_stub
import pytest
import tiktoken
from langchain_core.documents import Document
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
from rag_plugins.langchain import HybridRetriever, from_document, from_langchain

OpenAIEmbeddings = pytest.importorskip("langchain_openai").OpenAIEmbeddings


@pytest.fixture(scope="module")
def service():
    with openai_stub.openai_stub() as service:
        yield service


@pytest.fixture(scope="module")
def client(service):
    """Makes clients of the service, with these settings, and closes them."""
    made = []

    def make(**settings):
        plain = {
            "model": MODEL,
            "api_key": openai_stub.KEY,
            "check_embedding_ctx_length": False,
            "max_retries": 0,
        }
        made.append(OpenAIEmbeddings(base_url=service.url, **{**plain, **settings}))
        return made[-1]

    yield make
    for embeddings in made:
        embeddings.client._client.close()


@pytest.fixture(scope="module")
def collection_path(tmp_path_factory, client):
    """A collection of 600 passages, made once."""
    path = tmp_path_factory.mktemp("openai") / "large.db"
    filled(path, from_langchain(client(), name=MODEL)).close()
    return path


@pytest.fixture
def no_tokens(monkeypatch):
    def downloads(name):
        raise AssertionError(f"tiktoken was to get the vocabulary of {name}")

    monkeypatch.setattr(tiktoken, "encoding_for_model", downloads)
    monkeypatch.setattr(tiktoken, "get_encoding", downloads)


def test_the_funnel_over_its_widths_finds_what_the_exact_search_does(collection_path, client, no_tokens):
    encoder = from_langchain(client(), name=MODEL)
    assert (encoder.dim, encoder.matryoshka) == (3072, (256, 1024, 3072))
    with opened(collection_path, encoder) as index:
        check_funnel(index)
    with opened(collection_path, encoder, Funnel([(256,)])) as index:
        check_prefixes(index)


async def test_a_retriever_over_it(collection_path, client, service):
    with opened(collection_path, from_langchain(client(), name=MODEL)) as index:
        index.add([from_document(Document(id="x", page_content="baltese baltese"), index)])
        retriever = HybridRetriever(index, k=1)
        service.requests.clear()
        assert [found.id for found in await retriever.ainvoke("baltese")] == ["x"]
        assert [request["texts"] for request in service.requests] == [["baltese"]]
        assert index.delete("x") == 1


@pytest.mark.parametrize(("told", "asked"), [({}, "base64"), ({"encoding_format": "float"}, "float")])
def test_both_forms_of_its_answers(client, service, told, asked):
    embeddings = client(model_kwargs=told, chunk_size=2)
    service.requests.clear()
    made = from_langchain(embeddings, name=MODEL, dim=3072).encode_documents(
        [EmbedText(text) for text in PASSAGES[:5]]
    )
    np.testing.assert_allclose(made.dense, [embedding(text, 3072) for text in PASSAGES[:5]], atol=1e-6)
    assert [request["encoding_format"] for request in service.requests] == [asked] * 3


def test_shorter_vectors_are_asked_for_and_have_fewer_widths(client):
    encoder = from_langchain(client(dimensions=1024), name=MODEL)
    assert (encoder.dim, encoder.matryoshka) == (1024, (256, 1024))
    [made] = encoder.encode_queries(QUERIES[:1]).dense
    np.testing.assert_allclose(made, embedding(QUERIES[0], 1024), atol=1e-6)
    # As if the whole vector had been cut.
    whole = embedding(QUERIES[0], 3072)[:1024]
    np.testing.assert_allclose(made, whole / np.linalg.norm(whole), atol=1e-6)


def test_token_ids_which_are_its_default(collection_path, client, service, monkeypatch):
    """With a vocabulary of bytes in place of the one that would be downloaded."""
    as_bytes = tiktoken.Encoding(
        "bytes", pat_str=r"\S+|\s+", mergeable_ranks={bytes([n]): n for n in range(256)}, special_tokens={}
    )
    monkeypatch.setattr(tiktoken, "encoding_for_model", lambda name: as_bytes)
    plain, tokens = (
        from_langchain(client(check_embedding_ctx_length=checked), name=MODEL) for checked in (False, True)
    )
    with opened(collection_path, plain) as index:
        expected = [ranking(index, query) for query in QUERIES[:3]]
    service.requests.clear()
    with opened(collection_path, tokens) as index:
        assert [ranking(index, query) for query in QUERIES[:3]] == expected
    assert service.requests[-1]["input"] == [list(QUERIES[2].encode())]


def test_errors_of_the_service_pass_through_without_the_key(client):
    encoder = from_langchain(client(api_key="sk-canary"), name=MODEL, dim=3072)
    with pytest.raises(openai.AuthenticationError) as caught:
        encoder.encode_queries(["a"])
    assert caught.value.__notes__ == [f"{MODEL} was to embed 1 texts"]
    assert "canary" not in f"{caught.value} {encoder!r} {vars(encoder)}"
    with pytest.raises(openai.BadRequestError, match="no 4000 dimensions"):
        from_langchain(client(dimensions=4000), name=MODEL).dim  # noqa: B018
