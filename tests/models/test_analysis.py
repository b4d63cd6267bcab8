import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_plugins.config import Bm25Leg
from rag_plugins.models.analysis import Analyser, bigrams, word_spans

PLAIN = Analyser(Bm25Leg(identifiers=False))
terms = PLAIN.terms


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The pump, the PUMP!", ["the", "pump", "the", "pump"]),
        ("Don’t touch Ada's ʼk", ["don't", "touch", "ada", "k"]),
        ("snake_case --no-cache 3.14 A4", ["snake", "case", "no", "cache", "3", "14", "a4"]),
        ("ﬁlter Ｆｕｌｌ Straße café", ["filter", "full", "strasse", "café"]),
        ("cafe\u0301", ["café"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("", []),
        ("--- ...", []),
        ("过滤器", ["过滤", "滤器"]),
        ("水", ["水"]),
        ("型号V2的泵", ["型号", "v2", "的泵"]),
        ("東京タワー", ["東京", "京タ", "タワ", "ワー"]),
        ("한국어", ["한국", "국어"]),
    ],
)
def test_terms(text, expected):
    assert terms(text) == expected


def test_jieba_adds_the_words_that_are_no_bigrams():
    jieba = Analyser(Bm25Leg(cjk="jieba"))
    assert jieba.terms("产品说明书 V2") == ["产品", "品说", "说明", "明书", "说明书", "v2"]
    assert jieba.terms("타워 東京タ 水") == ["타워", "東京", "京タ", "水"]


def test_bigrams_of_one_character_are_that_character():
    assert bigrams("水") == ["水"]
    assert bigrams("水泵房") == ["水泵", "泵房"]


@given(st.text())
def test_terms_are_the_same_when_cut_again_as_folded_text(text):
    for term in terms(text):
        assert term
        assert not any(character.isspace() for character in term)


@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_case_does_not_matter(text):
    assert terms(text.casefold()) == terms(text)


def test_word_spans_cut_the_text_as_it_stands():
    text = "Ada’s pump, 过滤器"
    assert [text[start:end] for start, end in word_spans(text)] == ["Ada’s", "pump", "过滤器"]
