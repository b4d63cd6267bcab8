import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_plugins.config import Bm25Leg
from rag_plugins.models.analysis import Analyser, bigrams, word_spans
from rag_plugins.models.words import fold

PLAIN = Analyser(Bm25Leg(identifiers=False))
AWARE = Analyser(Bm25Leg())
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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("max_value", ["max_value", "max", "value"]),
        ("__init__ _x", ["init", "x"]),
        ("getUserName", ["getusername", "get", "user", "name"]),
        ("HTTPServer", ["httpserver", "http", "server"]),
        ("IDs LaTeX GiB iPhone IPv4 x", ["ids", "latex", "la", "tex", "gib", "iphone", "ipv4", "x"]),
        ("os.path.join(a)", ["os.path.join", "os", "path", "join", "a"]),
        ("std::vector<int>", ["std::vector", "std", "vector", "int"]),
        ("self._fooBar.", ["self._foobar", "self", "foobar", "foo", "bar"]),
        ("git --no-cache -v", ["git", "--no-cache", "no", "cache", "v"]),
        ("so--or not -- so", ["so", "or", "not", "so"]),
        ("AQ-310, pt-0862-C", ["aq-310", "aq", "310", "pt-0862-c", "pt", "0862", "c"]),
        ("3.14 v1.2.3-rc1", ["3.14", "3", "14", "v1.2.3-rc1", "v1.2.3", "v1", "2", "3", "rc1"]),
        ("well-known and/or e.g. U.S.", ["well", "known", "and", "or", "e", "g", "u", "s"]),
        ("src/main_app.py", ["src", "main_app.py", "main_app", "main", "app", "py"]),
        ("Node.js's don't", ["node.js", "node", "js", "don't"]),
        ("C++ C# i++ F", ["c++", "c", "c#", "c", "i", "f"]),
        ("End.Of line...", ["end.of", "end", "of", "line"]),
        ("用os.path函数", ["用", "os.path", "os", "path", "函数"]),
        ("हिन्दी für_alle", ["हिन्दी", "für_alle", "für", "alle"]),
    ],
)
def test_identifiers_come_whole_and_in_parts(text, expected):
    assert AWARE.surfaces(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("getUserName, MAX_value: Ada’s", ["getusername", "max", "value", "ada"]),
        ("--no-cache AQ-310", ["no", "cache", "aq", "310"]),
        ("水泵房 V2", ["水", "泵", "房", "v2"]),
    ],
)
def test_units_are_words_and_single_characters(text, expected):
    for analyser in (PLAIN, AWARE, Analyser(Bm25Leg(cjk="jieba"), "english")):
        assert analyser.units(text) == expected


@given(st.text(alphabet=st.sampled_from("aBc1_.-/:'’水ア \u0301#+"), max_size=30))
def test_identifiers_add_to_the_plain_words_and_take_none_away(text):
    plain, aware = PLAIN.surfaces(text), AWARE.surfaces(text)
    assert "".join(aware).count("水") == "".join(plain).count("水")
    humps = {part for surface in aware for part in re.findall(r"\w+", surface)}
    assert {word for word in plain if word.isalpha()} <= humps | set(aware)


@given(st.text())
def test_surfaces_are_folded_and_have_no_space(text):
    for surface in AWARE.surfaces(text):
        assert surface == fold(surface)
        assert surface.split() == [surface]


def test_what_is_too_long_for_a_name_comes_in_parts_alone():
    assert AWARE.surfaces("ab." * 30 + "ab") == ["ab"] * 31
    assert AWARE.surfaces("--" + "ab-" * 30 + "ab") == ["ab"] * 31


def test_long_lines_of_marks_cost_little():
    for text in ("_" * 50_000, "a-" * 25_000, "a." * 25_000, "--" * 25_000, "aB" * 25_000, "'" * 50_000):
        AWARE.surfaces(text)


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
