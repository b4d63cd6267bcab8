import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_plugins.config import Bm25Leg
from rag_plugins.errors import BadInput
from rag_plugins.lexical.abbreviations import Abbreviations, explained
from rag_plugins.lexical.mining import mine
from rag_plugins.models.bm25 import Bm25Encoder
from rag_plugins.models.lexicon import DomainDictionary

MANUAL = [
    "The coolant pump is closed. The coolant pump needs oil. The coolant pump has a seal.",
    "The valve is closed. The valve is of the sort that has a valve seat. Grease the valve seat.",
    "The filter is closed. The filter of the pump needs oil, and the filter of the valve needs none.",
]
"""Three subjects, each named again and again, in sentences that are alike."""

ENGLISH = Bm25Leg(language="english")

LEUKEMIA = "Adult acute lymphoblastic leukemia (ALL; also called acute lymphocytic leukemia) is a cancer."


def test_words_that_come_back_weigh_more_than_those_of_the_template():
    terms = mine(MANUAL * 10).terms
    assert terms["valve"].weight > 1 > terms["closed"].weight
    assert terms["filter"].weight > 1 > terms["oil"].weight


def test_weights_are_the_formula():
    terms = mine(["x x x y"] * 30).terms  # x stands 90 times in 30 texts, y 30 times in 30: g = 120 / 60 = 2.
    assert terms["x"].weight == round(((90 + 10 * 2) / (30 + 10) / 2) ** 0.5, 2)
    assert terms["y"].weight == round(((30 + 10 * 2) / (30 + 10) / 2) ** 0.5, 2)


def test_inflections_are_one_word():
    terms = mine(["The pumps pumped what the pump and other pumps pump, pumping."] * 5, ENGLISH).terms
    assert [word for word in terms if word.startswith("pump") and " " not in word] == ["pump"]


def test_pairs_that_come_back_within_texts_are_kept_whole():
    whole = mine(MANUAL * 2).whole
    assert {"coolant pump", "valve seat"} <= whole
    assert "needs oil" not in whole  # In four texts, but once in each.


def test_pairs_in_any_inflection_are_one():
    texts = ["error codes: an error code", "error code, error codes"]
    assert [entry for entry in mine(texts, ENGLISH).whole if "error" in entry] == ["error code"]


def test_a_pair_of_chinese_characters_is_a_term_already():
    terms = mine(["过滤器或过滤器。过滤器 filter seal filter seal filter, seen once in each text"] * 30).terms
    assert terms["filter seal"].weight == 0.2
    assert terms["过滤"].weight == terms["滤器"].weight == terms["filter"].weight
    assert not any(" " in entry and "器" in entry for entry in terms)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (LEUKEMIA, [("ALL", "acute lymphoblastic leukemia")]),
        (
            "the Internet Protocol (IP) and the heat shock protein (HSP)",
            ["Internet Protocol", "heat shock protein"],
        ),
        ("First things. Graphical user interface (GUI)", [("GUI", "Graphical user interface")]),
        ("It is in deoxyribonucleic (DNA) form", []),  # A single word.
        ("Tests are done. (MRI)", []),
        ("words of quite another kind (PWS)", []),  # No letter fits.
        ("a long list (for example) of parts (see below)", []),
        ("İİİ internal body (IB)", []),
        ("(AB)", []),
    ],
)
def test_explained_abbreviations(text, found):
    expected = [pair if isinstance(pair, str) else pair[1] for pair in found]
    assert [words for _, words in explained(text)] == expected


def test_abbreviations_find_their_words_and_the_other_way_round():
    entry = mine([LEUKEMIA, f"In short: {LEUKEMIA}"]).terms["acute lymphoblastic leukemia"]
    assert entry.synonyms == ("all",)


def test_abbreviations_explained_once_or_otherwise_or_that_are_words_are_left_out():
    def found(*texts):
        abbreviations = Abbreviations(str.casefold)
        for text in texts:
            abbreviations.read(text)
        words = re.findall(r"\w+", " ".join(texts).casefold())
        return dict(abbreviations.by_words(words.count))

    spasm, hospital = "An infantile spasm (IS)", "Intensive station (IS)"
    assert found(spasm) == {}
    assert found(spasm, spasm) == {"infantile spasm": ["is"]}
    assert found(spasm, spasm, hospital, hospital) == {}
    assert found(spasm, spasm, "It is what it is, is it?") == {}


def test_a_query_in_words_finds_the_abbreviation(tmp_path):
    """From the corpus through the file into the weights of a query."""
    texts = [LEUKEMIA, f"Again. {LEUKEMIA}", "Childhood ALL has other signs.", "Something else altogether."]
    path = tmp_path / "terms.toml"
    path.write_text(mine(texts).to_toml(), encoding="utf-8")
    plain, helped = (Bm25Encoder(Bm25Leg(dictionary=dictionary)) for dictionary in (None, path))
    for encoder in (plain, helped):
        encoder.statistics.learn([encoder.terms(text) for text in texts])
    query = "acute lymphoblastic leukemia"
    added = {term for term in helped.query_weights(query) if term not in plain.query_weights(query)}
    assert added == {"all", "acute lymphoblastic leukemia"}


TEXTS = st.lists(st.text(st.sampled_from("ab AB()'-_.ßİ产品\n") | st.characters(), max_size=60), max_size=8)


@given(TEXTS)
def test_the_same_texts_give_the_same_dictionary_in_any_order(texts):
    mined = mine(iter(texts))
    assert mined.to_toml() == mine(reversed(texts)).to_toml()


@given(TEXTS)
def test_any_dictionary_survives_its_file(tmp_path_factory, texts):
    path = tmp_path_factory.getbasetemp() / "mined.toml"
    mined = mine(texts * 3)
    path.write_text(mined.to_toml(), encoding="utf-8")
    assert DomainDictionary.from_file(path) == mined


def test_an_empty_corpus_gives_an_empty_dictionary():
    assert mine([]) == DomainDictionary() == mine(["", "...", "\x00"])


def test_a_dictionary_is_not_made_of_word_pieces():
    with pytest.raises(BadInput, match="wordpiece"):
        mine(MANUAL, Bm25Leg(analysis="wordpiece"))


def test_function_words_are_no_terms_of_a_subject():
    """However often they come back in a passage."""
    texts = [
        f"The part {n} of the pump of the house is the part of the year that was the best." for n in range(30)
    ]
    terms = mine(texts, Bm25Leg(language="english")).terms
    assert "pump" in terms and not {"the", "of"} & terms.keys()
    assert mine(texts, Bm25Leg(language="none")).terms["the"].weight > 1
