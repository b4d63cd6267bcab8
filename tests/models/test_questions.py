from rag_plugins.models.languages import FUNCTION_WORDS
from rag_plugins.models.questions import _QUESTION_WORDS, question_words

ENGLISH = dict.fromkeys("the of to that was are by which it be have".split(), 30)


def test_they_are_of_the_language_that_most_passages_are_in():
    assert {"who", "when", "did"} < question_words(ENGLISH)
    assert "wer" in question_words(dict.fromkeys("der die und das den von zu mit nicht ein eine".split(), 30))


def test_there_are_none_where_the_language_is_unclear():
    assert question_words({}) == question_words({"pump": 900, "泵": 900}) == frozenset()
    assert question_words({word: count // 20 for word, count in ENGLISH.items()}) == frozenset()


def test_other_terms_do_not_hide_the_language():
    assert question_words(ENGLISH | {f"~{n}": 500 for n in range(2000)}) == question_words(ENGLISH)


def test_every_language_that_is_detected_has_some():
    assert _QUESTION_WORDS.keys() == FUNCTION_WORDS.keys()
