"""Statistics, language and term index, kept true to the rows through changes, crashes and failures."""

import pytest

from rag_plugins.errors import StoreError
from rag_plugins.lexical.rules import parse_query
from rag_plugins.store.milvus import MilvusStore
from rag_plugins.types import EmbedText

ENGLISH = {
    str(n): f"The pumps of the machine are to be changed when they have been in use: {word}, and it was on."
    for n, word in enumerate("valves filters seals screws bolts hoses lamps doors belts fans".split())
}
GERMAN = {
    f"de{n}": f"Die Pumpen sind mit den Ventilen der Maschine zu wechseln, wenn sie nicht {n} alt ist."
    for n in range(100)
}


def texts_of(leg):
    return {p.caller_id: p.views[0].text for batch in leg.store.scan() for p in batch}


def assert_as_built_anew(leg, open_leg, tmp_path, *queries):
    """Counts and scores are those of a collection into which all was written at once, in that language."""
    fresh = open_leg(uri=tmp_path / "fresh.db", language=leg.encoder.statistics.language)
    fresh.write(texts_of(leg))
    assert leg.encoder.statistics.frequencies == fresh.encoder.statistics.frequencies
    assert leg.encoder.statistics.documents == leg.store.count()
    for query in (*queries, "pump", '"the pumps"', "pum*"):
        expected = fresh.scores(parse_query(query))
        assert leg.scores(parse_query(query)) == pytest.approx(expected, rel=1e-6)
        assert expected, query


def test_the_language_is_decided_once_there_is_enough_text(open_leg, tmp_path):
    leg = open_leg(typo_tolerance="off")
    leg.write({"first": "A new pump."})
    assert leg.encoder.statistics.language == ""
    assert leg.scores("pumps") == {}
    leg.write(ENGLISH)
    assert leg.encoder.statistics.language == "english"
    assert "first" in leg.scores("pumps")
    assert_as_built_anew(leg, open_leg, tmp_path, "valve")
    leg.write(GERMAN)
    assert leg.encoder.statistics.language == "english"
    leg.close()
    again = open_leg()
    assert again.encoder.statistics.language == "english"
    assert again.scores("valve").keys() == {"0"}


def test_a_language_that_is_set_is_not_detected(open_leg):
    leg = open_leg(language="none", typo_tolerance="off")
    leg.write(ENGLISH)
    assert leg.encoder.statistics.language == ""
    assert leg.scores("valve") == {}


@pytest.mark.parametrize(
    "crash", ["before the rows are read", "before the weights are made", "before saving"]
)
def test_a_crash_while_the_language_is_decided_loses_nothing(open_leg, tmp_path, monkeypatch, crash):
    leg = open_leg()
    leg.write({"first": "A new pump."})
    leg.writer.add([leg.passage(name, text) for name, text in ENGLISH.items()])
    broken = {"before the rows are read": "_count", "before the weights are made": "_reweigh"}

    def killed(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(leg.keeper, broken.get(crash, "save"), killed)
        with pytest.raises(KeyboardInterrupt):
            leg.writer.settle()
    again = open_leg()
    assert again.encoder.statistics.language == "english"
    assert_as_built_anew(again, open_leg, tmp_path, "valve")


def test_a_recount_keeps_the_language_that_was_decided(open_leg, tmp_path):
    leg = open_leg()
    leg.write(ENGLISH)
    leg.writer.add([leg.passage(name, text) for name, text in GERMAN.items()])  # Never saved.
    again = open_leg()
    assert again.encoder.statistics.language == "english"
    assert_as_built_anew(again, open_leg, tmp_path, "valve", "ventilen")


def test_the_rows_of_a_file_are_made_ready_when_a_server_has_it(open_leg, tmp_path, monkeypatch):
    """Nothing reads stored weights on a file, so they may be of another language and length."""
    uri = tmp_path / "moved.db"
    leg = open_leg(uri=uri)
    leg.write({"first": "A new pump."})
    leg.write(ENGLISH)
    leg.write({f"long{n}": "pump " * 50 for n in range(50)})
    leg.close()
    monkeypatch.setattr(MilvusStore, "is_file", False)
    moved = open_leg(uri=uri)
    assert_as_built_anew(moved, open_leg, tmp_path)
    texts = texts_of(moved)
    vectors = moved.store.vectors("bm25", moved.store.ids())
    expected = moved.encoder.encode_documents([EmbedText(text) for text in texts.values()]).sparse
    ids = [moved.passage(name, "").id for name in texts]
    assert vectors == dict(zip(ids, expected, strict=True))
    assert moved.store.state.get(f"unweighed/{moved.keeper._key}") is False


def test_a_reader_takes_over_the_language(open_leg, monkeypatch):
    monkeypatch.setattr("rag_plugins.lexical.statistics._REFRESH", 0.0)
    reader, writer = open_leg(), open_leg()
    writer.write({"first": "A new pump."})
    assert reader.scores("pump") == {}
    reader.writer.refresh()
    assert reader.scores("pump").keys() == {"first"}
    writer.write(ENGLISH)
    reader.writer.refresh()
    assert reader.encoder.statistics.language == "english"
    for query in ("valve", "pumps", '"the pumps"', "pum* valv~1"):
        assert reader.scores(parse_query(query)) == writer.scores(parse_query(query)) != {}


def test_a_failed_write_is_counted_again_before_the_next(open_leg, tmp_path, monkeypatch):
    leg = open_leg()
    leg.write(ENGLISH)
    assert leg.scores("pumpernickel") == {}
    upsert = leg.store.upsert

    def half(rows):
        upsert(rows[: len(rows) // 2])
        raise StoreError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(leg.store, "upsert", half)
        with pytest.raises(StoreError, match="disk full"):
            leg.write({f"new{n}": "a pumpernickel pump" for n in range(10)})
    assert leg.scores("pumpernickel").keys() == {f"new{n}" for n in range(5)}
    leg.write({"last": "one more pump"})
    assert leg.store.count() == len(ENGLISH) + 5 + 1
    assert_as_built_anew(leg, open_leg, tmp_path, "pumpernickel", "pumpernick*")


def test_rows_of_a_writer_that_was_killed_are_in_the_index_again(open_leg, tmp_path, monkeypatch):
    """Killed between the rows and the index: the mark is left, and says that both are to be made anew."""
    leg = open_leg()
    leg.write(ENGLISH)
    monkeypatch.setattr(leg.keeper, "stored", lambda passages: None)
    leg.writer.add([leg.passage("last", "a pumpernickel pump")])
    leg.index.reset()
    again = open_leg()
    assert again.index.dictionary.prefix("pumpern", 5) == ["pumpernickel"]
    assert_as_built_anew(again, open_leg, tmp_path, "pumpernick*")


@pytest.mark.parametrize("odd", ["\0", "\x01", "\ud800"])
def test_texts_are_counted_found_and_forgotten_alike(open_leg, monkeypatch, odd):
    leg = open_leg()
    assert leg.scores("pump") == {}
    leg.write({"a": f"ab{odd}cd pump", "b": "a pump"})
    words = "ab\ufffdcd" if odd == "\ud800" else "abcd"
    assert leg.scores(words).keys() == leg.scores(parse_query("ab*")).keys() == {"a"}
    monkeypatch.setattr(leg.keeper, "_recount", None)
    leg.write({"a": "valve"})
    assert leg.writer.delete("b") == 1
    assert leg.encoder.statistics.frequencies == {"valve": 1}


def test_weights_are_rewritten_on_servers_alone_and_only_when_they_have_drifted(open_leg, monkeypatch):
    leg = open_leg()
    rewritten, rewrite = [], leg.store.rewrite
    monkeypatch.setattr(leg.store, "rewrite", lambda *given: rewritten.append(given) or rewrite(*given))
    leg.write({str(n): "oil pump seal" for n in range(50)})
    leg.write({"one": "oil pump"})
    assert rewritten == []
    leg.write({f"long{n}": "oil " * 20 for n in range(10)})
    assert len(rewritten) == (0 if leg.store.is_file else 1)
    assert leg.scores("seal") == pytest.approx(
        {str(n): leg.encoder.idf("seal") / (1 + leg.encoder.saturation(3.0)) for n in range(50)}
    )
