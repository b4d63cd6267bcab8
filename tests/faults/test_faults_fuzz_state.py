"""What is read back, damaged: `StoreError` or `BadDocument`, or it is made anew; never another answer."""

import random
import struct

import pytest
from faults_support_fuzz import long, short
from hypothesis import given
from hypothesis import strategies as st

from rag_plugins.config import StoreConfig
from rag_plugins.errors import BadDocument, StoreError
from rag_plugins.evaluation.beir import read_folder
from rag_plugins.evaluation.ceiling.pages import read_documents
from rag_plugins.fusion.learned import Learned
from rag_plugins.resident.archive import load
from rag_plugins.store.codec import decode
from rag_plugins.store.engine import Engine
from rag_plugins.store.local.journal import Journal
from rag_plugins.store.state import State
from rag_plugins.types import Passage

DEEP = "[" * 100_000
ROW = {
    "id": "a" * 64,
    "doc_id": "d",
    "views": '[["text","a"]]',
    "llm_text": "a",
    "metadata": {},
    "caller_id": None,
}
PLACE = '{{"source":{},"page":{},"image":null,"start":0,"words":{}}}'


def test_a_sound_row_is_read():
    assert decode({**ROW, "provenance": PLACE.format('"a"', 1, "[1,2,3,4,5,6,7,8]")}).llm_text == "a"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(
            ("views", text)
            for text in (DEEP, "{}", '[["text",5]]', '["ab"]', '[["sound","a"]]', "null", '[["text"]]')
        ),
        ("provenance", DEEP),
        ("provenance", PLACE.format(5, 1, "[]")),
        ("provenance", PLACE.format('"a"', '"one"', "[]")),
        ("provenance", PLACE.format('"a"', 1, "[1,2,3,4,5,6,7,99999999999999999999999]")),
        ("provenance", PLACE.format('"a"', 1, "{}")),
        ("llm_text", None),
        ("metadata", "x"),
    ],
)
def test_a_damaged_row_is_a_store_error(field, value):
    with pytest.raises(StoreError, match="ingest its document again"):
        decode({**ROW, field: value})


plain = st.recursive(
    st.none() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
)


@short(60)
@given(plain, st.sampled_from(["legs", "together", "gain", "rows"]))
def test_what_was_learned_is_read_or_learned_anew(value, key):
    sound = {"legs": {}, "together": 0.5, "queries": 1, "rows": 1, "source": "labels", "gain": None}
    for stored in (value, {**sound, key: value}, {**sound, "legs": {"bm25": value}}):
        assert isinstance(Learned.from_json(stored), Learned | None)


@pytest.mark.parametrize("number", ["9" * 400, "-" + "9" * 400])
def test_numbers_beyond_a_float_are_learned_anew(number):
    """They raised `OverflowError`."""
    value = {"legs": {}, "together": int(number), "queries": 1, "rows": 1, "source": "labels", "gain": None}
    assert Learned.from_json(value) is None


def test_a_number_that_is_another_is_not_believed(tmp_path):
    """One digit changed in the log is JSON all the same."""
    engine = Engine(str(tmp_path / "state.db"), StoreConfig())
    try:
        state = State(engine, "texts")
        state.put({"k": {"count": 1234}, "well": 1})
        [row] = engine.query("texts", 'key == "k"', ["*"])
        engine.upsert("texts", [{**row, "text": row["text"].replace("1234", "1235")}])
        with pytest.raises(StoreError, match="value 'k' is damaged"):
            state.get("k")
        engine.upsert("texts", [{**row, "text": DEEP[:60_000], "generation": ""}])
        with pytest.raises(StoreError, match="value 'k' is damaged"):
            state.get("k")
        engine.upsert("texts", [{**row, "generation": ""}])  # As it was written before there were checksums.
        assert (state.get("k"), state.get("well")) == ({"count": 1234}, 1)
    finally:
        engine.close()


def test_a_header_that_says_it_is_four_gigabytes(tmp_path):
    """Its memory was taken before the file was found to be shorter."""
    path = tmp_path / "a.snapshot"
    path.write_bytes(struct.pack("<8sII", b"RAGPLUG1", 2**32 - 1, 0))
    with pytest.raises(StoreError, match="its header is damaged"):
        load(path)


IDS = [f"{n:064x}" for n in range(40)]


def check_journal(folder, seed):
    """Damaged anywhere: an error, or the ids of a beginning of what was written."""
    chance, path = random.Random(seed), folder / f"{seed}.journal"
    journal = Journal(path)
    journal.begin("first")
    for start in range(0, 40, 8):
        journal.add(IDS[start : start + 8])
    journal.close()
    data = bytearray(path.read_bytes())
    for _ in range(chance.choice((1, 1, 2, 8))):
        data[chance.randrange(len(data))] = chance.randrange(256)
    path.write_bytes(data[: chance.choice((len(data), chance.randrange(len(data) + 1)))])
    again = Journal(path)
    try:
        again.resume("first")
    except StoreError:
        return
    finally:
        again.close()
    assert again.ids == IDS[: len(again.ids)] and len(again.ids) % 8 == 0


def test_damaged_journals(tmp_path):
    for seed in range(60):
        check_journal(tmp_path, seed)


@pytest.mark.faults
@pytest.mark.timeout(900)
@long(3000)
@given(st.integers(0, 2**32))
def test_damaged_journals_long(tmp_path, seed):
    check_journal(tmp_path, seed)


GOOD = '{"_id": "q", "text": "x"}'


def folder_of(tmp_path, **files):
    texts = {"queries.jsonl": GOOD, "corpus.jsonl": GOOD, "qrels.tsv": "q\tq\t1"}
    for name, text in texts.items():
        (tmp_path / name).write_text(files.get(name.split(".")[0], text), encoding="utf-8", errors="replace")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(("queries", text) for text in ('{"_id": [1], "text": "x"}', '{"_id": 1, "text": "x"}', DEEP)),
        ("queries", '{"_id": "q", "text": null}'),
        ("queries", f'{{"_id": {"9" * 5000}, "text": "x"}}'),
        ("corpus", '{"_id": {"a": 1}, "text": "x"}'),
        ("qrels", "q\tq\t" + "9" * 5000),
        ("qrels", "q\tq\t" + "9" * 30),
        ("qrels", "q\tq"),
    ],
)
def test_questions_that_are_none(tmp_path, name, text):
    """Lists as ids raised `TypeError`, nesting `RecursionError`; numbers were found in no qrels."""
    with pytest.raises(BadDocument, match=name):
        read_folder(folder_of(tmp_path, **{name: text}))


@pytest.mark.parametrize("image", ["x" * 5000, "a\\u0000b", "../../etc/passwd"])
def test_images_that_no_folder_has(tmp_path, image):
    corpus = f'{{"_id": "q", "text": "x", "image": "{image}"}}'
    with pytest.raises(BadDocument, match="is no file in"):
        read_documents(folder_of(tmp_path, corpus=corpus))


def test_a_title_that_is_null(tmp_path):
    assert read_folder(folder_of(tmp_path, corpus='{"_id": "q", "text": "x", "title": null}')).corpus == {
        "q": "x"
    }


@short(60)
@given(plain)
def test_rows_of_any_values(value):
    for field in ("views", "provenance", "metadata", "llm_text"):
        try:
            assert isinstance(decode({**ROW, field: value}), Passage)
        except StoreError:
            pass
