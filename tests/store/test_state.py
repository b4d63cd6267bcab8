"""Named values: any size, replaced whole, found by prefix."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rag_plugins.config import StoreConfig
from rag_plugins.errors import BadInput, StoreError
from rag_plugins.store.codec import cut
from rag_plugins.store.engine import Engine
from rag_plugins.store.state import State

LARGE = {"漢字": ["𝄞é" * 50_000, 1.5, None], "n": list(range(30_000))}


@pytest.fixture
def state(milvus_uri, collection):
    engine = Engine(milvus_uri, StoreConfig())
    yield State(engine, collection)
    engine.close()


def rows(state):
    return state._engine.count(state._name)


def test_values_of_any_size_come_back(state):
    values = {"small": {"a": [1, 2.0, None, True]}, "large": LARGE, "empty": "", "none": None, "ключ/1": 0}
    values["odd"] = '\0\ud800"\\\n'
    state.put(values)
    assert {key: state.get(key) for key in values} == values
    assert state.get_all([*values, "absent"]) == values
    assert state.get("absent") is None


def test_a_prefix_is_taken_literally(state):
    keys = ["a/1", "a/2", "a_b", "a%b", "axb", "b", "a", "a/\U0010fffd"]
    state.put({key: key for key in keys})
    for prefix in ("a/", "a_", "a%", "a", "", "c", 'a"'):
        assert list(state.get_many(prefix)) == sorted(key for key in keys if key.startswith(prefix))


def test_replacing_leaves_nothing_of_the_old_value(state):
    state.put({"k": LARGE, "other": LARGE})
    parts = rows(state) // 2
    assert parts > 5
    state.put({"k": "small"})
    assert (state.get("k"), rows(state)) == ("small", parts + 1)
    state.put({"k": LARGE})
    state.put({"k": LARGE})
    assert (state.get("k") == LARGE, rows(state)) == (True, 2 * parts)
    state.delete(["k", "absent"])
    assert (state.get("k"), rows(state), state.get("other") == LARGE) == (None, parts, True)
    state.delete(["other"])
    assert rows(state) == 0


@pytest.mark.parametrize("old", ["small", "large"])
def test_a_crash_shows_the_old_value_or_the_new_one(state, monkeypatch, old):
    before, after = (["old", "x" * 200_000] if old == "large" else "old"), ["new", "y" * 300_000]
    state.put({"k": before})
    whole = Engine.upsert
    for writes in range(3):

        def upsert(*arguments, left=[writes], **named):  # noqa: B006 - the list is this test's counter
            if not left[0]:
                raise StoreError("killed")
            left[0] -= 1
            whole(*arguments, **named)

        monkeypatch.setattr(Engine, "upsert", upsert)
        try:
            state.put({"k": after})
        except StoreError:
            assert state.get("k") == before
        else:
            assert state.get("k") == after
        monkeypatch.setattr(Engine, "upsert", whole)
    assert state.get("k") == after
    assert rows(state) == len(list(cut("y" * 300_013, 65_535)))  # What the crashes left behind is gone.


def test_a_lost_part_is_an_error_and_never_a_shorter_value(state):
    state.put({"k": LARGE, "well": 1})
    part = state._engine.query(state._name, "part == 3", ["id"])[0]["id"]
    state._engine.delete(state._name, [part])
    with pytest.raises(StoreError, match=r"value 'k' is damaged, \d+ of \d+ parts are readable"):
        state.get("k")
    assert state.get("well") == 1


def test_what_cannot_be_a_key_or_a_value_is_refused(state):
    for values in ({"": 1}, {"k\0": 1}, {"k" * 70_000: 1}, {"\ud800": 1}, {"k": object()}):
        with pytest.raises(BadInput):
            state.put(values)
    assert rows(state) == 0


@given(st.text(max_size=200), st.integers(4, 40))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_pieces_join_to_the_text_and_fit(text, size):
    text = text.encode("utf-8", "replace").decode()
    pieces = list(cut(text, size))
    assert "".join(pieces) == text
    assert all(len(piece.encode()) <= size for piece in pieces)
    assert all(pieces) or pieces == [""]
