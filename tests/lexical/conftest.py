from dataclasses import dataclass

import pytest

from rag_plugins.config import Bm25Leg, Config, StoreConfig
from rag_plugins.ingest.rows import RowMaker
from rag_plugins.ingest.writer import Writer
from rag_plugins.lexical.search import LexicalSearch
from rag_plugins.lexical.statistics import StatisticsKeeper
from rag_plugins.store.milvus import MilvusStore
from rag_plugins.types import EmbedText, Passage, passage_id
from rag_plugins.wiring import make_legs, make_searches, make_store


@dataclass
class Leg:
    """A BM25 or robust leg over a store: what writes it, what searches it. Passages go by given names."""

    tenant: str
    store: MilvusStore
    search: LexicalSearch
    keeper: StatisticsKeeper
    writer: Writer

    @property
    def encoder(self):
        return self.search.encoder

    @property
    def index(self):
        return self.search.index

    def passage(self, name, text, **metadata):
        id = passage_id(self.tenant, caller_id=name)
        return Passage(id, name, (EmbedText(text),), text, metadata, None, name)

    def write(self, texts, **metadata):
        self.writer.add([self.passage(name, text, **metadata) for name, text in texts.items()])
        self.writer.settle()

    def scores(self, query, limit=100, filter=None):
        """{name: score} in the order of the ranking."""
        ranking, _ = self.search.search(query, limit, filter)
        names = self.store.fetch([id for id, _ in ranking])
        return {names[id].caller_id: score for id, score in ranking}

    def close(self):
        self.writer.close()
        self.store.close()


@pytest.fixture
def open_leg(milvus_uri, collection, tmp_path):
    """Opens legs on this test's collection, on a file and on a server in turn; closes them at the end."""
    opened = []

    def open_(tenant="", uri=milvus_uri, kind=Bm25Leg, **settings):
        leg = kind(**settings)
        config = Config(legs=(leg,), rerank=(), store=StoreConfig(assets=tmp_path / "assets"))
        legs = make_legs(config.legs)
        store = make_store(uri, config, legs, collection, tenant)
        search = make_searches(config, legs, store)[leg.name]
        keeper = StatisticsKeeper(store, leg.name, search, tenant)
        writer = Writer(store, RowMaker(legs, {}, store.assets), tenant, [keeper])
        opened.append(Leg(tenant, store, search, keeper, writer))
        return opened[-1]

    yield open_
    for leg in opened:
        leg.store.close()
