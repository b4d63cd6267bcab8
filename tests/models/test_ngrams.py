from hypothesis import given
from hypothesis import strategies as st

from rag_plugins.models.ngrams import NgramAnalyser, is_ngram, is_spaced

ANALYSER = NgramAnalyser()


def test_signs_part_words_and_do_not():
    assert ANALYSER.words("gov,ern'ment") == ["government", "gov", "ernment"]
    assert ANALYSER.words("The well-known Ada's (1843) notes.") == [
        *("the", "wellknown", "well", "known", "ada", "1843", "notes")
    ]
    assert ANALYSER.words("10/05-2017") == ["10052017", "10", "05", "2017"]


def test_what_is_too_long_for_a_word_is_parted_alone():
    assert ANALYSER.words("a" * 20 + "/" + "b" * 20) == ["a" * 20, "b" * 20]


def test_ngrams_are_of_each_part_edges_included():
    assert ANALYSER.ngrams("Oil a!b") == ["~ oi", "~oil", "~il ", "~ a ", "~ b "]


def test_chinese_is_every_two_neighbours_and_every_character():
    assert ANALYSER.words("更换 pump泵") == ["更换", "pump", "泵"]
    assert ANALYSER.ngrams("更换泵") == ["~更", "~换", "~泵"]
    assert is_spaced("pump") and not is_spaced("更换")


def test_accents_and_capitals_are_folded_and_no_phrases_are_made():
    assert ANALYSER.words("NAI\u0308VE \ufb01ne") == ["na\u00efve", "fine"]
    assert ANALYSER.units("any text") == []
    assert ANALYSER.term("~ an") == "~ an"


@given(st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("ab ,.-'泵"), max_size=60))
def test_surfaces_are_words_and_ngrams(text):
    surfaces = ANALYSER.surfaces(text)
    assert [surface for surface in surfaces if not is_ngram(surface)] == ANALYSER.words(text)
    assert [surface for surface in surfaces if is_ngram(surface)] == ANALYSER.ngrams(text)
    assert ANALYSER.terms(text) == surfaces == ANALYSER.surfaces(text)
    assert all(surface and "\n" not in surface for surface in surfaces)
