"""One collection, opened from LangChain and from LlamaIndex: the same hits, order and scores."""

import pytest
from langchain_core.documents import Document
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores import MetadataFilter, MetadataFilters, VectorStoreQuery
from llama_index.core.vector_stores.types import VectorStoreQueryMode

import rag_plugins.langchain as chain
import rag_plugins.llama_index as llama
from rag_plugins import Config, RagIndex, where
from rag_plugins.config import Bm25Leg, DenseLeg

QUESTIONS = ["red lamp", "which water for the tank?", "filter", "nothing of this at all", "lamp tank filter"]
TEXTS = [
    f"The {what} of machine {n} {does}."
    for n in range(8)
    for what, does in [
        ("red lamp", "means an empty tank"),
        ("air filter", "lasts six months"),
        ("tank", "has water"),
    ]
]


@pytest.fixture(params=["local", "words and vectors"])
def index(request, milvus_uri, collection):
    """Half of it added from each side; once with the preset's reranker, once without."""
    config = (
        Config.preset("local")
        if request.param == "local"
        else Config(legs=(DenseLeg(), Bm25Leg()), rerank=())
    )
    with RagIndex.open(milvus_uri, config=config, collection=collection) as index:
        half = len(TEXTS) // 2
        documents = [Document(text, metadata={"n": n}, id=str(n)) for n, text in enumerate(TEXTS[:half])]
        chain.RagVectorStore(index).add_documents(documents)
        hidden = {"excluded_embed_metadata_keys": ["n"], "excluded_llm_metadata_keys": ["n"]}
        nodes = [
            TextNode(id_=str(n), text=text, metadata={"n": n}, **hidden)
            for n, text in enumerate(TEXTS)
            if n >= half
        ]
        llama.RagVectorStore(index).add(nodes)
        yield index


def test_retrievers_agree(index):
    ours, theirs = chain.HybridRetriever(index, k=7), llama.HybridRetriever(index, k=7)
    for question in QUESTIONS:
        documents, nodes = ours.invoke(question), theirs.retrieve(question)
        assert len(nodes) == 7
        assert [
            (each.id, each.page_content, each.metadata["rag_plugins"]["score"]) for each in documents
        ] == [(each.node_id, each.text, each.score) for each in nodes]
        assert [each.metadata["rag_plugins"]["trace"] for each in documents] == [
            each.metadata["rag_plugins"]["trace"] for each in nodes
        ]
        assert [each.metadata["n"] for each in documents] == [each.metadata["n"] for each in nodes]


def test_filters_agree(index):
    ours = chain.HybridRetriever(index, filter={"n": {"$gte": 5, "$lt": 15}}).invoke("tank")
    filters = MetadataFilters(
        filters=[
            MetadataFilter(key="n", value=5, operator=">="),
            MetadataFilter(key="n", value=15, operator="<"),
        ]
    )
    theirs = llama.HybridRetriever(index, filters=filters).retrieve("tank")

    assert [each.id for each in ours] == [each.node_id for each in theirs]
    assert [each.node_id for each in theirs] == [
        hit.passage.caller_id for hit in index.search("tank", filter=(where("n") >= 5) & (where("n") < 15))
    ]


def test_vector_stores_agree(index):
    ours, theirs = chain.RagVectorStore(index), llama.RagVectorStore(index)
    for question in QUESTIONS:
        found = theirs.query(VectorStoreQuery(query_str=question, similarity_top_k=6))
        assert [each.id for each in ours.similarity_search(question, k=6)] == found.ids
        scored = ours.similarity_search_with_score(question, k=6)
        assert [(each.id, score) for each, score in scored] == [
            *zip(found.ids, found.similarities, strict=True)
        ]
        assert [each.page_content for each, _ in scored] == [node.text for node in found.nodes]
        diverse = VectorStoreQuery(query_str=question, similarity_top_k=4, mode=VectorStoreQueryMode.MMR)
        assert [
            each.id for each in ours.max_marginal_relevance_search(question, k=4, fetch_k=20)
        ] == theirs.query(diverse).ids


def test_what_one_adds_the_other_gives_and_deletes(index):
    ours, theirs = chain.RagVectorStore(index), llama.RagVectorStore(index)

    [document] = ours.get_by_ids(["20"])
    assert (document.page_content, document.metadata["n"]) == (TEXTS[20], 20)
    [node] = theirs.get_nodes(["3"])
    assert (node.text, node.metadata) == (TEXTS[3], {"n": 3})
    ours.delete(["20"])
    theirs.delete_nodes(["3"])
    assert theirs.get_nodes(["20", "3"]) == ours.get_by_ids(["20", "3"]) == []


def test_one_hit_a_parent_in_both(index):
    index.add(
        index.passage("A bulb, and its bulb holder.", view=view, metadata={"parent": "bulb"})
        for view in ("A bulb.", "The bulb holder.")
    )
    ours = chain.HybridRetriever(index, k=3, legs=["bm25"], group_by="parent").invoke("bulb holder")
    theirs = llama.HybridRetriever(index, k=3, legs=["bm25"], group_by="parent").retrieve("bulb holder")
    assert [each.metadata.get("parent") for each in ours].count("bulb") == 1
    assert [each.id for each in ours] == [each.node_id for each in theirs]
