"""What the term index of a server does that one in memory need not."""

import pytest

from rag_plugins.lexical.remote import MilvusTerms
from rag_plugins.lexical.rules import parse_query


@pytest.fixture
def leg(open_leg, milvus_server):
    return open_leg(uri=milvus_server, language="english")


@pytest.fixture
def milvus_uri():
    """Nothing here is about files."""
    return None


def test_a_phrase_is_found_far_below_what_the_engine_ranks_first(leg):
    """Passages full of its words, none beside the other, come before the one that has it."""
    leg.write({str(n): "filter of dust and the filter of dust" for n in range(300)})
    leg.write({"phrase": "a dust filter" + " and another thing" * 40})
    query = parse_query('"dust filter"')
    assert list(leg.scores("dust filter", limit=300))[-1] != "phrase"
    assert leg.scores(query, limit=5).keys() == {"phrase"}


def test_the_rare_words_of_a_phrase_decide_what_is_looked_at(leg, monkeypatch):
    monkeypatch.setattr("rag_plugins.lexical.remote._DEEPEST", 20)
    leg.write({str(n): "the " * 9 for n in range(100)})
    leg.write({"phrase": "the zygote" + " and another thing" * 40})
    assert leg.scores(parse_query('"the zygote"'), limit=5).keys() == {"phrase"}


def test_candidates_are_bounded(leg, monkeypatch):
    monkeypatch.setattr("rag_plugins.lexical.remote._DEEPEST", 40)
    leg.write({str(n): "filter of dust" for n in range(100)})
    read, views = list[str](), leg.store.views
    monkeypatch.setattr(leg.store, "views", lambda ids: read.extend(ids) or views(ids))
    assert leg.scores(parse_query('"dust filter"'), limit=10) == {}
    assert len(read) == len(set(read)) == 40


def test_no_more_is_read_than_decides(leg, monkeypatch):
    leg.write({str(n): "pump " * (1 + n // 50) + "x " * n for n in range(200)})
    read, views = list[str](), leg.store.views
    monkeypatch.setattr(leg.store, "views", lambda ids: read.extend(ids) or views(ids))
    assert len(leg.scores(parse_query("pum*"), limit=10)) == 10
    assert len(read) <= 80


def test_scores_follow_the_mean_length_though_stored_weights_do_not(leg):
    leg.write({str(n): "oil pump " * 10 + "seal" for n in range(100)})
    leg.write({"short": "oil seal", "long": "seal " + "word " * 60})
    drift = leg.encoder.statistics.drift
    assert 0.001 < drift < 0.05
    stored = leg.store.search("bm25", leg.encoder.encode_queries(["seal"]).sparse[0], 200)
    exact, _ = leg.search.search("seal", 200)
    damping = leg.encoder.saturation(2.0)
    assert dict(exact)[leg.passage("short", "").id] == pytest.approx(leg.encoder.idf("seal") / (1 + damping))
    assert dict(stored) == pytest.approx(dict(exact), rel=drift)
    assert dict(stored) != pytest.approx(dict(exact), rel=1e-5)


def test_what_another_process_has_put_is_there_at_once(open_leg, milvus_server, monkeypatch):
    monkeypatch.setattr("rag_plugins.lexical.statistics._REFRESH", 0.0)
    one, two = open_leg(uri=milvus_server), open_leg(uri=milvus_server)
    one.write({"a": "a zygote"})
    two.keeper.refresh()
    assert two.index.dictionary.prefix("zy", 5) == ["zygote"]
    assert two.scores(parse_query("zyg*")).keys() == {"a"}


def test_surfaces_go_with_their_last_passage(leg):
    leg.write({"a": "pumps and valves", "b": "valves"})
    leg.writer.delete("a")
    assert leg.index.dictionary.prefix("", 9) == ["valves"]
    assert leg.index.dictionary.wildcard("*s", 9) == ["valves"]
    assert leg.index.dictionary.fuzzy("pumps", 1, 9) == []
    leg.write({"c": "pumps"})
    assert leg.index.dictionary.fuzzy("pumps", 1, 9) == [("pumps", 0)]


def test_an_index_opened_anew_knows_the_surfaces(leg):
    leg.write({"a": "pumps and valves"})
    assert MilvusTerms(leg.store, "bm25", leg.encoder).dictionary.prefix("p", 9) == ["pumps"]
