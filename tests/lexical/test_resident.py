import logging
from threading import Thread

import numpy as np
import pytest

from rag_plugins.config import Bm25Leg, StoreConfig
from rag_plugins.filters import where
from rag_plugins.lexical.plan import AnyOf, Nearby, Plan
from rag_plugins.lexical.resident import ResidentTerms
from rag_plugins.models.bm25 import Bm25Encoder, Bm25Statistics
from rag_plugins.store.local.resident import ResidentStore
from rag_plugins.store.schema import Row, VectorField
from rag_plugins.types import EmbedText, Passage, passage_id
from rag_plugins.vectors import SparseVector


def passage(name, text, tenant="", **metadata):
    return Passage(passage_id(tenant, caller_id=name), name, (EmbedText(text),), text, metadata, None, name)


def rows(passages):
    return [Row(passage, {"bm25": SparseVector.of({1: 1.0})}) for passage in passages]


@pytest.fixture
def open_store(tmp_path):
    opened = []

    def open_(tenant="", kind=ResidentStore):
        store = kind.open(
            tmp_path / "test.db",
            fields=[VectorField("bm25", "sparse")],
            fingerprint={},
            tenant=tenant,
            config=StoreConfig(assets=tmp_path / "assets"),
        )
        opened.append(store)
        return store

    yield open_
    for store in opened:
        store.close()


class Index:
    """A store, an encoder, the terms, and what a writer does with them."""

    def __init__(self, store, language="none"):
        self.store = store
        self.encoder = Bm25Encoder(Bm25Leg(language=language))
        self.terms = ResidentTerms(store, "bm25", self.encoder)

    def write(self, **texts):
        passages = [passage(name, text) for name, text in texts.items()]
        self.encoder.learn([view for passage in passages for view in passage.views])
        self.store.upsert(rows(passages))
        self.terms.put(passages)

    def delete(self, *names):
        ids = [passage_id("", caller_id=name) for name in names]
        self.store.delete(ids)
        self.terms.remove(ids)

    def found(self, plan, **options):
        ids = [id for id, _ in self.terms.search(plan, 10, **options)]
        return {passage.caller_id for passage in self.store.fetch(ids).values()}


def word(text):
    return Plan({text: 1.0})


@pytest.fixture
def index(open_store):
    return Index(open_store())


def test_rows_are_read_at_the_first_search(index, caplog):
    index.write(a="oil filter", b="pump")

    with caplog.at_level(logging.INFO):
        assert index.found(word("oil")) == {"a"}

    assert "2 passages" in caplog.text


def test_what_is_written_afterwards_is_found_and_what_is_deleted_is_not(index):
    index.write(a="oil filter", b="pump")
    assert index.found(word("oil")) == {"a"}

    index.write(a="pump oil pump", c="oil")
    index.delete("b")

    assert index.found(word("oil")) == {"a", "c"}
    assert index.found(word("filter")) == set()
    assert index.terms.dictionary.prefix("", 9) == ["oil", "pump"]


def test_the_score_is_the_formula_under_the_encoders_own_statistics(index):
    index.write(a="oil filter", b="pump pump oil seal")
    ((_, before),) = index.terms.search(word("filter"), 10)

    index.encoder.statistics = Bm25Statistics(2, 20, {"filter": 1}, 3.0)
    ((_, after),) = index.terms.search(word("filter"), 10)

    assert before == pytest.approx(1 / (1 + 1.2 * (0.25 + 0.75 * 2 / 3)))
    assert after == pytest.approx(1 / (1 + 1.2 * (0.25 + 0.75 * 2 / 10)))


def test_groups_and_phrases(index):
    index.write(a="oil filter pump", b="filter oil", c="更换机油滤清器")
    phrase = Nearby('"oil filter"', ("oil", "filter"), 0, 1.0)

    assert index.found(Plan({}, (AnyOf("pum*", {"pump": 1.0}),), (phrase,))) == {"a"}
    assert index.found(Plan({}, (), (Nearby("机油滤", tuple("机油滤"), 0, 1.0),))) == {"c"}


def test_filters(index):
    passages = [passage("a", "oil", year=2020), passage("b", "oil", year=2021)]
    index.store.upsert(rows(passages))

    assert index.found(word("oil"), filter=where("year") > 2020) == {"b"}


class Located(ResidentStore):
    """Says of a filter at which places it holds, as a store in memory does."""

    def located(self, filter):
        ids, found = self.ids(), set(self.ids(filter))
        return {id: place for place, id in enumerate(ids)}, np.array([id in found for id in ids], np.bool_)


def test_filters_by_place(open_store):
    index = Index(open_store(kind=Located))
    index.store.upsert(rows([passage(name, "oil", year=year) for name, year in YEARS.items()]))
    recent, all_but_d = where("year") > 2020, where("year") < 2030

    assert index.found(word("oil"), filter=recent) == {"b", "c", "d"}
    assert index.found(word("oil"), filter=all_but_d) == {"a", "b", "c"}
    index.delete("b")
    index.write(e="oil")
    assert index.found(word("oil"), filter=recent) == {"c", "d"}


YEARS = {"a": 2019, "b": 2021, "c": 2022, "d": 2030}


def test_indexes_on_one_file_share_what_they_know(open_store):
    one, other = Index(open_store()), Index(open_store())
    one.write(a="oil")
    assert other.found(word("oil")) == {"a"}

    one.write(b="oil")
    one.store.close()

    assert other.found(word("oil")) == {"a", "b"}


def test_tenants_do_not(open_store):
    one, other = Index(open_store("one")), Index(open_store("other"))
    mine = passage("a", "secret", tenant="one")
    one.found(word("secret"))
    other.found(word("secret"))

    one.store.upsert(rows([mine]))
    one.terms.put([mine])

    assert one.found(word("secret")) == {"a"}
    assert other.found(word("secret")) == set()
    assert other.terms.dictionary.prefix("s", 9) == []


def test_reset_reads_the_rows_again(index):
    index.write(a="oil", b="oil")
    assert index.found(word("oil")) == {"a", "b"}
    index.store.delete([passage_id("", caller_id="a")])

    index.terms.reset()

    assert index.found(word("oil")) == {"b"}


def test_a_language_that_is_decided_changes_the_stems(open_store):
    index = Index(open_store(), language="auto")
    index.write(a="the filters are changed")
    assert index.found(word("filter")) == set()

    index.encoder.statistics = Bm25Statistics(1, 4, {"filter": 1}, 4.0, language="english")

    assert index.found(word("filter")) == {"a"}


def test_a_passage_without_text_is_no_longer_found(index):
    index.write(a="oil")
    assert index.found(word("oil")) == {"a"}

    index.terms.put([Passage(passage_id("", caller_id="a"), "a", (), "oil", {}, None, "a")])

    assert index.found(word("oil")) == set()


def test_writes_while_the_rows_are_read_are_not_lost(index):
    index.write(**{f"p{n}": "old" for n in range(40)})
    writer = Thread(target=lambda: [index.write(**{f"p{n}": "new"}) for n in range(20)])
    writer.start()
    for _ in range(20):
        index.terms.reset()
        assert 0 < len(index.terms.search(Plan({"old": 1.0, "new": 1.0}), 99)) <= 40
    writer.join()

    assert len(index.terms.search(word("new"), 99)) == 20
    assert len(index.terms.search(word("old"), 99)) == 20
