"""What a robust leg's query stands for, over the surfaces of a few passages."""

import math

import pytest

from rag_plugins.config import RobustLeg
from rag_plugins.lexical.robust import ngrams_as_one, robust_plan
from rag_plugins.lexical.vocabulary import Vocabulary
from rag_plugins.models.robust import RobustEncoder
from rag_plugins.types import EmbedText, TermMatch

ENGLISH = "the of to that was are by which it be have been would there they his but can will these"


def planned(query, *texts):
    encoder = RobustEncoder(RobustLeg())
    encoder.learn([EmbedText(text) for text in texts])
    return robust_plan(query, encoder.statistics, lambda: Vocabulary(encoder.statistics.frequencies))


def shares(query, *texts):
    return {word.rule: dict(word.shares) for word in planned(query, *texts).readings}


def test_a_word_stands_for_itself_and_less_for_what_is_near_it():
    found = shares("government", "government", "govemment", "govxxnment", "goverrument", "garment")[
        "government"
    ]
    assert found["government"] == 1.0
    assert 1.0 > found["govemment"] > found["govxxnment"] > 0.0  # rn looks like m.
    assert "garment" not in found


def test_a_share_is_that_of_the_formula():
    found = shares("filter", "filler filler", "filler", "oil")["filter"]
    assert found == {"filler": pytest.approx(math.exp(-3 * 1 / 6) / math.sqrt(2))}


def test_a_misreading_may_be_as_frequent_as_a_twentieth_of_the_word():
    often, rarely = ["filter"] * 40, ["filter"]
    (few, many) = (shares("filter", *words, *["filler"] * 3)["filter"]["filler"] for words in (rarely, often))
    assert many == pytest.approx(math.exp(-3 * 1 / 6))
    assert few == pytest.approx(many * math.sqrt(1.05 / 3))


def test_short_words_are_looked_for_as_they_are():
    assert shares("an ox", "an ax", "ox on") == {"an": {"an": 1.0}, "ox": {"ox": 1.0}}


def test_more_letters_may_be_misread_the_longer_the_word():
    texts = ("abc", "axc", "xbx", "filter", "fxlxer", "fxlxex", "government", "gxvxrxment", "gxvxrxmenx")
    near = {word: set(found) for word, found in shares("abc filter government", *texts).items()}
    assert near == {
        "abc": {"abc", "axc"},
        "filter": {"filter", "fxlxer"},
        "government": {"government", "gxvxrxment"},
    }


def test_a_number_is_not_another_number_misread():
    assert set(shares("2017", "2017", "2018", "2O17", "20l7")["2017"]) == {"2017", "2o17", "20l7"}


def test_pieces_of_a_broken_word_are_readings_of_it():
    found = shares("government", "gov ern ment", "govern ment", "go vernment", "men")["government"]
    assert set(found) == {"govern", "ment", "vernment"}
    assert found["vernment"] > found["govern"] > found["ment"]


def test_words_run_together_are_readings_of_both():
    found = shares("oil filter", "oilfilter", "oilfiller")
    assert set(found["oil"]) == set(found["filter"]) == {"oilfilter", "oilfiller"}
    assert found["oil"]["oilfilter"] == 1.0


def test_a_word_that_was_parted_in_the_query_is_found_whole_and_the_other_way_round():
    assert "database" in shares("data base", "database")["data"]
    assert {"data", "base"} == set(shares("database", "data base")["database"])


def test_the_idf_is_that_of_all_readings_together():
    texts = ["oil"] * 20
    rare = planned("government", *texts, "governmemt").readings[0]
    common = planned("government", *texts, *["government"] * 10, "governmemt").readings[0]
    assert set(common.shares) == {"government", "governmemt"}
    assert rare.weight > 2 * common.weight


def test_a_word_asked_for_twice_weighs_twice():
    (once,) = planned("filter", "filter").readings
    (twice,) = planned("filter oil filter", "filter").readings
    assert twice.weight == pytest.approx(2 * once.weight)


def test_ngrams_vote_with_less_weight_than_words():
    plan = planned("filter", "filter", "a", "b")
    assert set(plan.words) == {"~ fi", "~fil", "~ilt", "~lte", "~ter", "~er "}
    assert sum(plan.words.values()) < plan.readings[0].weight
    assert set(planned("filters", "filter").words) == {"~ fi", "~fil", "~ilt", "~lte", "~ter"}


def test_how_a_question_asks_is_not_looked_for():
    texts = [f"{ENGLISH} who"] * 40 + ["the norse leader"]
    assert set(shares("Who was the Norse leader?", *texts)) == {"the", "norse", "leader"}
    assert set(shares("who", *texts)) == {"who"}
    assert set(shares("who", "who")) == {"who"}


def test_chinese_is_looked_for_by_two_characters_and_by_one():
    plan = planned("更换泵", "更换", "泵")
    assert [dict(word.shares) for word in plan.readings] == [{"更换": 1.0}]
    assert set(plan.words) == {"~更", "~换", "~泵"}


def test_nothing_known_is_nothing_to_look_for():
    assert planned("zebra", "oil") == planned("?!", "oil") == planned("", "oil")
    assert planned("", "oil").readings == () == tuple(planned("pump").words)


def test_matches_of_ngrams_are_told_as_one():
    word, first, second = (
        TermMatch("oil", 3.0, 0.5),
        TermMatch("~oil", 1.0, 0.5),
        TermMatch("~ oi", 3.0, 0.25),
    )
    assert ngrams_as_one([first, word, second]) == [
        word,
        TermMatch("2 n-grams", 4.0, pytest.approx(1.25 / 4), rule="n-grams"),
    ]
    assert ngrams_as_one([word]) == [word]
