"""A collection without a model, a chat over it and its server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from chat_page_support import Client, served

from rag_plugins import Config, RagIndex
from rag_plugins.chat import Chat
from rag_plugins.config import Bm25Leg

TEXTS = {
    "pump.md": "Tighten the screws of the pump head to 38 Nm.",
    "filter.md": "The filter of the intake is cleaned every month.",
}


@pytest.fixture
def make_index(tmp_path: Path) -> Iterator[Callable[..., RagIndex]]:
    """A collection of two documents that BM25 alone searches; `chat` settings by name."""
    opened: list[RagIndex] = []

    def make(**chat: object) -> RagIndex:
        config = Config(legs=(Bm25Leg(),), rerank=(), chat=chat)  # type: ignore[arg-type]
        index = RagIndex.open(tmp_path / f"words{len(opened)}.db", config=config)
        opened.append(index)
        folder = tmp_path / "files of a user"
        folder.mkdir(exist_ok=True)
        for name, text in TEXTS.items():
            (folder / name).write_text(text)
        index.ingest([folder])  # By their whole paths, as the command line has them.
        return index

    yield make
    for index in opened:
        index.close()


@pytest.fixture
def chat(make_index: Callable[..., RagIndex]) -> Chat:
    return Chat(make_index())


@pytest.fixture
def client(chat: Chat) -> Iterator[Client]:
    with served(chat) as client:
        yield client
