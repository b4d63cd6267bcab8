"""The term index in the snapshot of a store: over a real one, and one whose snapshot the test holds."""

import logging

import pytest

from rag_plugins.config import Bm25Leg, StoreConfig
from rag_plugins.lexical.plan import AnyOf, Nearby, Plan
from rag_plugins.lexical.resident import ResidentTerms
from rag_plugins.models.bm25 import Bm25Encoder, Bm25Statistics
from rag_plugins.store.local.resident import ResidentStore
from rag_plugins.store.schema import Row, VectorField
from rag_plugins.types import EmbedText, Passage, passage_id
from rag_plugins.vectors import SparseVector

PLANS = [
    Plan({"oil": 2.0, "pump": 1.0, "泵": 1.0}),
    Plan({}, (AnyOf("pum*", {"pump": 1.0, "pumps": 0.5}),)),
    Plan({"seal": 1.0}, (), (Nearby('"oil filter"', ("oil", "filter"), 1, 1.0),)),
]


def id_of(name):
    return passage_id("", caller_id=name)


class Keeping(ResidentStore):
    """Keeps sections as they are, and says of all ids since that they have changed."""

    sections = {}
    since = []

    def keep(self, section, dump):
        self.dumps = {section: dump}

    def kept(self, section):
        return self.sections.get(section)

    def changed(self):
        return self.since

    def save(self):
        self.sections.update({name: dump() for name, dump in self.dumps.items()})


@pytest.fixture(autouse=True)
def forget():
    Keeping.sections, Keeping.since = {}, []


class Index:
    def __init__(self, store, **settings):
        self.store = store
        self.encoder = Bm25Encoder(Bm25Leg(**{"language": "english", **settings}))
        self.terms = ResidentTerms(store, "bm25", self.encoder)

    def write(self, texts, *, indexed=True):
        passages = [
            Passage(id_of(name), name, (EmbedText(text),), text, {"name": name}, None, name)
            for name, text in texts.items()
        ]
        self.store.upsert([Row(passage, {"bm25": SparseVector.of({1: 1.0})}) for passage in passages])
        if indexed:
            self.terms.put(passages)

    def delete(self, *names):
        self.store.delete([id_of(name) for name in names])
        self.terms.remove([id_of(name) for name in names])

    def found(self):
        return [self.terms.search(plan, 9) for plan in PLANS], self.terms.dictionary.prefix("", 99)

    def fresh(self):
        self.terms.reset()
        return self.found()


@pytest.fixture
def open_index(tmp_path):
    opened = []

    def open_(kind=ResidentStore, **settings):
        store = kind.open(
            tmp_path / "test.db",
            fields=[VectorField("bm25", "sparse", resident=False)],
            fingerprint={},
            config=StoreConfig(assets=tmp_path / "assets"),
        )
        opened.append(Index(store, **settings))
        return opened[-1]

    yield open_
    for index in opened:
        index.store.close()


TEXTS = {
    "a": "oil filters",
    "b": "The pump pumps oil; 泵 oil filter",
    "c": "a seal of the pump",
    "d": "nothing",
}


def rows_were_read(caplog):
    return "passages read" in caplog.text


def test_what_was_put_and_deleted_is_there_again_and_no_row_is_read(open_index, caplog):
    index = open_index()
    index.write(TEXTS)
    index.found()
    index.write({"c": "the oil seal", "e": "filter oil"})
    index.delete("d", "a")
    before = index.found()
    index.store.close()

    with caplog.at_level(logging.INFO):
        again = open_index()
        assert again.found() == before
    assert not rows_were_read(caplog)
    assert again.fresh() == before


def test_an_index_that_was_opened_goes_on(open_index):
    index = open_index()
    index.write(TEXTS)
    index.found()
    index.store.close()
    again = open_index()
    again.write({"d": "oil pump", "e": "a seal"})
    again.delete("b")
    last = again.found()
    assert last == again.fresh()
    again.store.close()

    assert open_index().found() == last


def test_a_session_that_changes_nothing_writes_nothing(open_index, tmp_path):
    index = open_index()
    index.write(TEXTS)
    index.found()
    index.store.close()
    paths = list((tmp_path / "test.db.resident").rglob("*.snapshot"))
    before = [path.stat().st_mtime_ns for path in paths]

    again = open_index()
    again.found()
    again.store.close()

    assert len(paths) == 2 and [path.stat().st_mtime_ns for path in paths] == before


def test_what_is_built_later_is_kept_though_no_row_has_changed(open_index, caplog):
    index = open_index()
    index.write(TEXTS)
    index.store.close()
    again = open_index()
    before = again.found()
    again.store.close()

    with caplog.at_level(logging.INFO):
        assert open_index().found() == before
    assert not rows_were_read(caplog)


def test_what_has_changed_since_is_read_again(open_index, caplog):
    index = open_index(Keeping)
    index.write(TEXTS)
    index.found()
    index.store.save()
    index.write({"a": "an oil pump", "e": "oil filter"}, indexed=False)
    index.store.delete([id_of("c")])
    index.store.close()
    Keeping.since = [id_of("a"), id_of("c"), id_of("e")]

    with caplog.at_level(logging.INFO):
        again = open_index(Keeping)
        found = again.found()
    assert not rows_were_read(caplog)
    assert found == again.fresh()


def test_rows_that_a_snapshot_lacks_are_read_even_where_nobody_says_that_they_changed(open_index):
    index = open_index(Keeping)
    index.write(TEXTS)
    index.found()
    index.store.save()
    index.write({"e": "oil seal"}, indexed=False)
    index.store.delete([id_of("c")])
    index.store.close()

    again = open_index(Keeping)
    assert again.found() == again.fresh()


def damaged(arrays, about):
    return {name: array for name, array in arrays.items() if not name.endswith("begins")}, about


def of_another_format(arrays, about):
    return arrays, {**about, "format": 0}


def of_nothing(arrays, about):
    return {}, None


@pytest.mark.parametrize("spoil", [damaged, of_another_format, of_nothing])
def test_a_section_that_cannot_be_read_is_built_anew(open_index, spoil, caplog):
    index = open_index(Keeping)
    index.write(TEXTS)
    before = index.found()
    index.store.save()
    index.store.close()
    Keeping.sections = {name: spoil(*content) for name, content in Keeping.sections.items()}

    with caplog.at_level(logging.INFO):
        assert open_index(Keeping).found() == before
    assert rows_were_read(caplog)


def test_a_file_of_the_snapshot_that_is_damaged_is_built_anew(open_index, tmp_path):
    index = open_index()
    index.write(TEXTS)
    before = index.found()
    index.store.close()
    for path in (tmp_path / "test.db.resident").rglob("*.snapshot"):
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)

    assert open_index().found() == before


@pytest.mark.parametrize("kind", [Keeping, ResidentStore])
def test_another_analysis_is_built_anew_and_kept(open_index, kind, caplog):
    index = open_index(kind)
    index.write(TEXTS)
    index.found()
    if kind is Keeping:
        index.store.save()
    index.store.close()

    with caplog.at_level(logging.INFO):
        again = open_index(kind, language="none")
        assert len(again.terms.search(Plan({"filter": 1.0}), 9)) == 1
    assert rows_were_read(caplog)
    again.store.close()
    if kind is ResidentStore:
        caplog.clear()
        with caplog.at_level(logging.INFO):
            assert len(open_index(language="none").terms.search(Plan({"filter": 1.0}), 9)) == 1
        assert not rows_were_read(caplog)
    assert len(open_index(kind).terms.search(Plan({"filter": 1.0}), 9)) == 2


def test_a_language_that_has_been_decided_is_kept(open_index, caplog):
    index = open_index(Keeping, language="auto")
    index.encoder.statistics = Bm25Statistics(4, 16, {"filter": 2}, 4.0, "english")
    index.write(TEXTS)
    before = index.found()
    index.store.save()
    index.store.close()

    with caplog.at_level(logging.INFO):
        again = open_index(Keeping, language="auto")
        again.encoder.statistics = index.encoder.statistics
        assert again.found() == before
        assert not rows_were_read(caplog)
        again.encoder.statistics = Bm25Statistics(4, 16, {"filters": 1}, 4.0, "german")
        again.found()
        assert rows_were_read(caplog)


def test_what_has_not_been_built_is_not_kept(open_index):
    index = open_index(Keeping)
    index.write(TEXTS)
    index.store.save()
    index.store.close()

    again = open_index(Keeping)
    assert again.found() == again.fresh()
