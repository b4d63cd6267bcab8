import asyncio
import time

import numpy as np
import pytest
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode

from rag_plugins import RagIndex
from rag_plugins.llama_index import from_node


def node(id, text, **metadata):
    """A chunk of the handbook: retrieval also reads `hint`, the LLM does not."""
    return TextNode(
        id_=id,
        text=text,
        metadata=metadata,
        excluded_llm_metadata_keys=["hint", "year"],
        excluded_embed_metadata_keys=["year"],
        relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id="handbook", hash="h")},
    )


@pytest.fixture
def handbook():
    return [
        node("filter", "Change the air filter every 6 months.", hint="maintenance interval", year=2021),
        node("lamp", "The red lamp means that the tank is empty.", hint="signals", year=2021),
        node("tank", "Fill the tank with distilled water only.", hint="supplies", year=2023),
        TextNode(
            id_="café", text="咖啡机的水箱是空的。 Un café, s'il vous plaît 🙂", metadata={"year": 2023}
        ),
    ]


@pytest.fixture
def index(tmp_path, handbook):
    """An index of BM25 alone, which needs no model, with the handbook in it."""
    with RagIndex.open(tmp_path / "handbook.db", preset="lexical") as index:
        index.add([from_node(node, index) for node in handbook])
        yield index


@pytest.fixture
def ticker():
    """Await a coroutine while counting seconds: its result and the longest time that the loop stood still."""

    async def measure(work):
        longest, task = 0.0, asyncio.ensure_future(work)
        while not task.done():
            before = time.perf_counter()
            await asyncio.sleep(0.005)
            longest = max(longest, time.perf_counter() - before)
        return task.result(), longest

    return measure


class WordOverlap:
    """A reranker that can be worked out by hand: how many words of the query the views have."""

    name = "word-overlap"
    reads_tokens = False
    seconds = 0.0

    def score(self, query, candidates):
        time.sleep(self.seconds)
        words = set(query.lower().split())
        texts = ["".join(view.text for view in candidate.views) for candidate in candidates]
        return np.array([len(words & set(text.lower().split())) for text in texts], dtype=np.float32)


@pytest.fixture
def word_overlap():
    return WordOverlap()
