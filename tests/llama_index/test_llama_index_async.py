"""One event loop and many of them: retrieval neither blocks a loop nor belongs to one."""

import asyncio
from statistics import median

import pytest
from faces_support import spinning, watched
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores import VectorStoreQuery
from words_support import WORDS, WordEmbedding

from rag_plugins import Config
from rag_plugins.config import Bm25Leg, DenseLeg
from rag_plugins.llama_index import HybridRetriever, RagVectorStore

QUESTIONS = [f"{WORDS[n % 8]} {WORDS[n % 7]} {n}" for n in range(50)]


@pytest.fixture
def store(milvus_uri, collection):
    config = Config(legs=(DenseLeg(), Bm25Leg()), rerank=())
    with RagVectorStore.open(milvus_uri, WordEmbedding(), config=config, collection=collection) as store:
        texts = [f"{WORDS[n % 8]} {WORDS[n * n % 7]} number {n}" for n in range(200)]
        store.add([TextNode(id_=str(n), text=text) for n, text in enumerate(texts)])
        yield store


def shown(found):
    return [(each.node_id, each.score) for each in found]


async def test_many_queries_in_one_loop_do_not_block_it(store):
    retriever = HybridRetriever(store.client, k=10)
    expected = [shown(retriever.retrieve(question)) for question in QUESTIONS]
    gaps, others = [], []
    for _ in range(3):
        found, gap = await watched(_all(retriever))
        assert [shown(each) for each in found] == expected
        gaps.append(gap)
        others.append((await watched(spinning()))[1])
    # On a machine with other work to do, a loop waits that long beside any threads that run Python.
    assert median(gaps) < max(0.05, 1.5 * median(others)), (gaps, others)


async def _all(retriever):
    return await asyncio.gather(*map(retriever.aretrieve, QUESTIONS))


def test_one_object_in_three_loops(store):
    retriever = HybridRetriever(store.client, k=3)

    async def round_trip(n):
        await store.async_add([TextNode(id_=f"new {n}", text=f"dense plan {n}")])
        result = await store.aquery(VectorStoreQuery(query_str="dense plan", similarity_top_k=100))
        return f"new {n}" in result.ids, shown(await retriever.aretrieve("dense plan")), result.ids[:3]

    for n in range(3):
        added, found, ids = asyncio.run(round_trip(n))
        assert added and [id for id, _ in found] == ids
        assert found == shown(retriever.retrieve("dense plan"))
