import asyncio
import inspect
import json

import pytest
from faces_support import watched
from sparse_support import by_hand, inner, tiny_splade

from rag_plugins.config import SparseLeg
from rag_plugins.errors import ConfigError, UnknownPreset
from rag_plugins.langchain import SparseEmbeddings

TEXTS = ["change the filter.", "the red lamp", "fill the tank", "blue pump, red valve", "water"]
QUERY = "red pump"

# Milvus Lite knows no drop ratios, which langchain-milvus asks for by default.
INDEX = {"index_type": "SPARSE_INVERTED_INDEX", "metric_type": "IP", "params": {}}
SEARCH = {"metric_type": "IP", "params": {}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_splade(tmp_path_factory.mktemp("tiny-splade"))


@pytest.fixture(scope="module")
def model(folder):
    return SparseEmbeddings(str(folder))


@pytest.fixture(scope="module")
def best(folder):
    """Text and score of every text, best first, from transformers alone."""
    query = by_hand(folder, QUERY)
    scored = [(text, inner(query, by_hand(folder, text))) for text in TEXTS]
    return sorted(scored, key=lambda pair: -pair[1])


def test_weights_are_those_of_the_formula(folder, model):
    assert model.embed_query(QUERY) == pytest.approx(by_hand(folder, QUERY), abs=1e-5)
    for text, weights in zip(TEXTS, model.embed_documents(TEXTS), strict=True):
        assert weights == pytest.approx(by_hand(folder, text), abs=1e-5)
    assert json.loads(json.dumps(model.embed_query(QUERY)))  # Python's own numbers.
    assert model.embed_documents([]) == []


def test_the_strongest_terms_are_kept(folder, model):
    few = SparseEmbeddings(str(folder), query_terms=2, document_terms=3)
    for kept, whole, most in (
        (few.embed_query(QUERY), model.embed_query(QUERY), 2),
        (few.embed_documents([QUERY])[0], model.embed_documents([QUERY])[0], 3),
    ):
        assert len(whole) > most
        assert kept == dict(sorted(sorted(whole.items(), key=lambda pair: -pair[1])[:most]))


def test_settings_are_those_of_a_sparse_leg(folder):
    parameters = inspect.signature(SparseEmbeddings).parameters
    for name in ("query_terms", "document_terms", "max_length", "device"):
        assert parameters[name].default == SparseLeg.model_fields[name].default
    cut = SparseEmbeddings(str(folder), max_length=3)
    assert cut.embed_query("red pump") == pytest.approx(cut.embed_query("red"), abs=1e-5)
    with pytest.raises(ConfigError, match="query_terms"):
        SparseEmbeddings(str(folder), query_terms=0)
    with pytest.raises(UnknownPreset, match="splade-v3"):
        SparseEmbeddings("splade")


async def test_asynchronous_calls_leave_the_loop_free(model):
    async def both():
        return await asyncio.gather(model.aembed_query(QUERY), model.aembed_documents(TEXTS * 20))

    (query, documents), longest = await watched(both())
    assert query == model.embed_query(QUERY)
    assert documents == model.embed_documents(TEXTS * 20)
    assert longest < 0.5


def test_inside_langchain_milvus(model, best, tmp_path):
    peer = pytest.importorskip("langchain_milvus")
    store = peer.Milvus.from_texts(
        TEXTS,
        model,
        vector_field="sparse",
        connection_args={"uri": str(tmp_path / "peer.db")},
        index_params=INDEX,
        search_params=SEARCH,
    )
    found = store.similarity_search_with_score(QUERY, k=len(TEXTS))
    assert [document.page_content for document, _ in found] == [text for text, _ in best]
    assert [score for _, score in found] == pytest.approx([score for _, score in best], abs=1e-4)


@pytest.mark.filterwarnings("ignore:The 'ranker_type' and 'ranker_params' parameters are deprecated")
def test_beside_a_dense_model_in_langchain_milvus(model, tmp_path):
    peer = pytest.importorskip("langchain_milvus")
    from langchain_core.embeddings import DeterministicFakeEmbedding

    store = peer.Milvus.from_texts(
        TEXTS,
        [DeterministicFakeEmbedding(size=8), model],
        vector_field=["dense", "sparse"],
        connection_args={"uri": str(tmp_path / "both.db")},
        index_params=[{"index_type": "FLAT", "metric_type": "COSINE"}, INDEX],
        search_params=[{"metric_type": "COSINE"}, SEARCH],
    )
    found = store.similarity_search(
        TEXTS[3], k=1, ranker_type="weighted", ranker_params={"weights": [0.5, 0.5]}
    )
    assert [document.page_content for document in found] == [TEXTS[3]]


def test_inside_langchain_qdrant(model, best):
    peer = pytest.importorskip("langchain_qdrant")
    store = peer.QdrantVectorStore.from_texts(
        TEXTS,
        sparse_embedding=model.as_qdrant(),
        retrieval_mode=peer.RetrievalMode.SPARSE,
        location=":memory:",
        collection_name="texts",
    )
    found = store.similarity_search_with_score(QUERY, k=len(TEXTS))
    assert [document.page_content for document, _ in found] == [text for text, _ in best]
    assert [score for _, score in found] == pytest.approx([score for _, score in best], abs=1e-4)


async def test_qdrants_form_asynchronously(model):
    form = model.as_qdrant()
    query = await form.aembed_query(QUERY)
    assert dict(zip(query.indices, query.values, strict=True)) == model.embed_query(QUERY)
    assert await form.aembed_documents(TEXTS) == form.embed_documents(TEXTS)
