import asyncio
import time

import pytest
from langchain_core.documents import Document

from rag_plugins import RagIndex
from rag_plugins.langchain import from_document

HANDBOOK = [
    Document(
        id="filter",
        page_content="Change the air filter every 6 months.",
        metadata={
            "source": "handbook.pdf",
            "page": 3,
            "year": 2021,
            "retrieval_text": "maintenance interval air filter replacement",
        },
    ),
    Document(
        id="lamp",
        page_content="The red lamp means that the tank is empty.",
        metadata={"source": "handbook.pdf", "page": 4, "year": 2021},
    ),
    Document(
        id="tank",
        page_content="Fill the tank with distilled water only.",
        metadata={"source": "handbook.pdf", "page": 5, "year": 2023},
    ),
    Document(
        id="café",
        page_content="咖啡机的水箱是空的。 Un café, s'il vous plaît 🙂",
        metadata={"source": "menu", "year": 2023},
    ),
]


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """An index of BM25 alone, which needs no model, with the handbook in it."""
    with RagIndex.open(tmp_path_factory.mktemp("index") / "handbook.db", preset="lexical") as index:
        index.add([from_document(document, index) for document in HANDBOOK])
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

    def score(self, query, candidates):
        import numpy as np

        words = set(query.lower().split())
        texts = ["".join(view.text for view in candidate.views) for candidate in candidates]
        return np.array([len(words & set(text.lower().split())) for text in texts], dtype=np.float32)


@pytest.fixture
def word_overlap():
    return WordOverlap()
