from rag_plugins.lexical.counted import CountedWords
from rag_plugins.models.bm25_statistics import Bm25Statistics


def test_words_come_and_go_with_the_statistics_and_ngrams_are_none():
    words, statistics = CountedWords(), Bm25Statistics()
    statistics.learn([["pump", "~pum"], ["lump"]])
    assert words.of(statistics).wildcard("*", 9) == ["lump", "pump"]
    statistics.forget([["lump"]])
    statistics.learn([["jump"]])  # As many passages and terms as before.
    assert words.of(statistics).wildcard("*", 9) == ["jump", "pump"]


def test_other_statistics_have_other_words():
    words = CountedWords()
    words.of(Bm25Statistics(1, 1, {"pump": 1}))
    assert words.of(Bm25Statistics(1, 1, {"jump": 1})).wildcard("*", 9) == ["jump"]
