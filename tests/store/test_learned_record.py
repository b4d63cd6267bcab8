"""What was learned of a collection, by tenant, on a Lite file and on a server."""

from dataclasses import replace

import pytest

from rag_plugins.config import StoreConfig
from rag_plugins.fusion import Learned, LegWorth, Linear, NormalTail
from rag_plugins.store import learned as module
from rag_plugins.store.engine import Engine
from rag_plugins.store.learned import LearnedRecord
from rag_plugins.store.state import State

KNOWN = Learned(
    {
        "漢 dense": LegWorth(NormalTail(0.1, 0.08), 0.5, 0.6, 0.4),
        "bm25": LegWorth(Linear(2.2), 1.0, 0.4, 0.6),
    },
    together=0.7,
    queries=90,
    rows=1000,
    source="labels",
)


@pytest.fixture
def state(milvus_uri, collection):
    engine = Engine(milvus_uri, StoreConfig())
    yield State(engine, collection)
    engine.close()


@pytest.fixture
def clock(monkeypatch):
    """Seconds as this test counts them."""
    now = [100.0]
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    return now


def test_nothing_is_known_at_first_and_then_what_was_put(state):
    record = LearnedRecord(state, "")
    assert record.current is None
    record.put(KNOWN)
    assert record.current == KNOWN == LearnedRecord(state, "").current
    record.put(replace(KNOWN, rows=7))
    assert record.current.rows == LearnedRecord(state, "").current.rows == 7


def test_tenants_do_not_see_one_another(state):
    tenants = ["", "acme", "acme/b", "漢"]
    for rows, tenant in enumerate(tenants):
        LearnedRecord(state, tenant).put(replace(KNOWN, rows=rows))
    assert [LearnedRecord(state, tenant).current.rows for tenant in tenants] == [0, 1, 2, 3]
    assert LearnedRecord(state, "other").current is None


def test_what_another_index_puts_is_seen_within_seconds_and_not_looked_for_at_every_query(
    state, clock, monkeypatch
):
    ours, theirs = LearnedRecord(state, ""), LearnedRecord(state, "")
    assert ours.current is None
    theirs.put(KNOWN)
    assert ours.current is None
    looks, get = [], State.get
    monkeypatch.setattr(State, "get", lambda self, key: looks.append(key) or get(self, key))
    clock[0] += 4.9
    assert ours.current is None and not looks
    clock[0] += 0.2
    assert ours.current == KNOWN == ours.current and len(looks) == 1


def test_what_cannot_be_read_is_as_if_it_were_not_there(state):
    record = LearnedRecord(state, "")
    record.put(KNOWN)
    [key] = state.get_many("fusion/")
    state.put({key: {"legs": "of another time"}})
    assert LearnedRecord(state, "").current is None
