import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_plugins.ingest.known_items import KINDS, known_items
from rag_plugins.ingest.sentences import ATOM, count_words

MANUAL = {
    "pump": "The coolant pump is bolted to the frame. It needs no oil at any time. Ask before opening it.",
    "filter": "Change the dust filter every 500 hours. Wash the old one with warm water and dry it well.",
    "shout": "Stop!",
    "漢": "煞車油每兩年更換一次。更換時必須使用原廠規格的油。輪胎壓力每月檢查。",
}

sentence = st.lists(
    st.sampled_from("oil pump gauge frame dust hose valve seal".split()), min_size=4, max_size=9
)
texts = st.lists(sentence, min_size=1, max_size=4).map(
    lambda sentences: " ".join(f"{' '.join(words).capitalize()}." for words in sentences)
)
passages = st.dictionaries(st.sampled_from("abcdef"), texts, max_size=6)


def by_kind(items, id):
    return {item.kind: item for item in items if item.id == id}


def in_order(words, text):
    """Whether the words stand in the text in this order, whatever is between them."""
    rest = iter(ATOM.findall(text))
    return all(word in rest for word in words)


def test_a_sentence_asks_for_what_is_left_of_its_passage():
    items = by_kind(known_items(MANUAL), "pump")
    query, rest = items["sentence"].query, items["sentence"].rest
    assert query in MANUAL["pump"] and query not in rest
    assert sorted(ATOM.findall(f"{query} {rest}")) == sorted(ATOM.findall(MANUAL["pump"]))


def test_some_of_its_words_ask_for_the_rest_and_for_the_passage_as_it_is():
    items = by_kind(known_items(MANUAL), "filter")
    assert items["words"].query == items["literal"].query
    assert items["words"].rest == items["sentence"].rest and items["literal"].rest is None
    asked, said = ATOM.findall(items["words"].query), ATOM.findall(items["sentence"].query)
    assert len(asked) == round(len(said) / 2) and in_order(asked, items["sentence"].query)


def test_where_no_space_is_between_words_they_follow_one_another():
    for lengths in ((), (3,), (9,)):
        items = by_kind(known_items(MANUAL, lengths), "漢")
        assert items["words"].query in items["sentence"].query and " " not in items["words"].query
        if lengths:
            assert count_words(items["words"].query) == lengths[0]


def test_queries_are_as_long_as_those_of_the_log_where_the_sentence_has_so_many_words():
    for length in (1, 2, 5):
        items = [item for item in known_items(MANUAL, (length,)) if item.kind != "sentence"]
        assert {count_words(item.query) for item in items if item.id != "shout"} == {length}
    longest = by_kind(known_items(MANUAL, (99,)), "pump")
    assert ATOM.findall(longest["words"].query) == ATOM.findall(longest["sentence"].query)
    several = known_items({str(n): MANUAL["filter"] for n in range(60)}, (1, 3))
    assert {count_words(item.query) for item in several if item.kind == "words"} == {1, 3}


def test_a_passage_of_one_sentence_is_asked_for_as_it_is_alone():
    items = [item for item in known_items(MANUAL) if item.id == "shout"]
    assert [(item.kind, item.query, item.rest) for item in items] == [("literal", "Stop!", None)]


def test_short_sentences_ask_only_where_there_is_no_longer_one():
    text = "Stop it. Yes. Never open the valve under pressure. No."
    asked = {by_kind(known_items({str(n): text}), str(n))["sentence"].query for n in range(20)}
    assert asked == {"Never open the valve under pressure."}
    assert by_kind(known_items({"a": "Stop it. Yes."}), "a")["sentence"].query in ("Stop it.", "Yes.")


def test_different_sentences_are_asked_with():
    items = known_items({str(n): MANUAL["pump"] for n in range(60)})
    assert len({item.query for item in items if item.kind == "sentence"}) == 3


def test_a_sentence_without_end_asks_with_its_beginning():
    endless = " ".join(f"word{n}" for n in range(500))
    items = by_kind(known_items({"a": f"{endless}. Short one of four words."}), "a")
    assert all(len(item.query) <= 300 for item in items.values())


@pytest.mark.parametrize("texts", [{}, {"a": ""}, {"a": " \n\t "}])
def test_nothing_is_asked_of_texts_without_words(texts):
    assert known_items(texts) == []


@given(passages, st.lists(st.integers(1, 12), max_size=3))
def test_queries_are_made_of_their_passage_and_the_same_ones_every_time(texts, lengths):
    items = known_items(texts, lengths)
    assert items == known_items(dict(texts), list(lengths))
    assert {item.id for item in items} == set(texts)
    for id, text in texts.items():
        kinds = by_kind(items, id)
        assert set(kinds) in (set(KINDS), {"literal"})
        for item in kinds.values():
            asked = ATOM.findall(item.query)
            assert asked and in_order(asked, text)
            if item.kind != "sentence" and lengths:
                assert len(asked) <= max(lengths)
            if item.rest is not None:
                left, whole = ATOM.findall(item.rest), ATOM.findall(text)
                assert len(left) + count_words(kinds["sentence"].query) == len(whole)
                assert in_order(left, text)


@given(st.dictionaries(st.sampled_from("ab"), st.text(max_size=80), max_size=2))
def test_any_text_gives_queries_that_have_words(texts):
    for item in known_items(texts):
        assert item.query.strip() and len(item.query) <= 300
        assert item.rest is None or item.rest.strip()
