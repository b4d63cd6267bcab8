import math
import tomllib
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rag_plugins.config import Bm25Leg
from rag_plugins.errors import ConfigError
from rag_plugins.models.analysis import Analyser
from rag_plugins.models.bm25 import Bm25Encoder
from rag_plugins.models.lexicon import DictionaryTerm, DomainDictionary
from rag_plugins.types import EmbedText

TOML = """
stop_words = ["Please", "show"]
[terms]
"Error  Code" = {weight = 2.0, synonyms = ["fault code", "Trouble Code"]}
"过滤器" = {}
AQ-310 = {weight = 3}
pump = {synonyms = ["pomp"]}
"""
CSV = """term,weight,synonyms
Error Code,2.0,fault code;Trouble Code
过滤器,,
AQ-310,3

pump,,pomp
Please,0,
show,0
"""


@pytest.fixture
def written(tmp_path):
    numbers = count()

    def write(text: str, suffix: str, encoding: str = "utf-8") -> str:
        path = tmp_path / f"words{next(numbers)}{suffix}"
        path.write_bytes(text.encode(encoding))
        return path

    return write


def analyser(dictionary: DomainDictionary, language: str = "none", **settings) -> Analyser:
    return Analyser(Bm25Leg(**settings), language, dictionary)


def whole(*terms: str) -> DomainDictionary:
    return DomainDictionary(terms={term: DictionaryTerm() for term in terms})


def encoder_of(dictionary: str, *texts: str, **settings) -> Bm25Encoder:
    encoder = Bm25Encoder(Bm25Leg(dictionary=dictionary, **settings))
    encoder.learn([EmbedText(text) for text in texts])
    return encoder


class TestFiles:
    def test_toml(self, written):
        dictionary = DomainDictionary.from_file(written(TOML, ".toml"))
        assert dictionary.stop_words == {"please", "show"}
        assert dictionary.terms == {
            "error code": DictionaryTerm(weight=2.0, synonyms=("fault code", "trouble code")),
            "过滤器": DictionaryTerm(),
            "aq-310": DictionaryTerm(weight=3.0),
            "pump": DictionaryTerm(synonyms=("pomp",)),
        }

    def test_csv_says_the_same(self, written):
        toml, csv = (DomainDictionary.from_file(written(*file)) for file in ((TOML, ".toml"), (CSV, ".csv")))
        weights = {term: properties.weight for term, properties in csv.terms.items()}
        assert weights.pop("please") == weights.pop("show") == 0.0
        assert {term: csv.terms[term] for term in weights} == toml.terms
        assert csv.segmentation == toml.segmentation

    def test_a_spreadsheet_writes_a_mark_before_its_csv(self, written):
        path = written('synonyms,term\r\n"a;b","pump, big"\r\n', ".CSV", "utf-8-sig")
        assert DomainDictionary.from_file(path).terms == {"pump, big": DictionaryTerm(synonyms=("a", "b"))}

    @given(
        st.dictionaries(
            st.text(st.characters(codec="utf-8"), min_size=1).map(lambda text: "a" + text),
            st.tuples(st.floats(0, 1e9), st.lists(st.sampled_from(["b c", 'q"\\', "\x7fx", "过滤"]))),
            max_size=3,
        )
    )
    def test_what_is_written_is_read(self, terms):
        try:
            dictionary = DomainDictionary(
                terms={t: DictionaryTerm(weight=w, synonyms=tuple(s)) for t, (w, s) in terms.items()},
                stop_words=frozenset({"of"}),
            )
        except ValidationError:  # Two of the terms are one when folded.
            return
        assert DomainDictionary.model_validate(tomllib.loads(dictionary.to_toml())) == dictionary

    @pytest.mark.parametrize(
        ("text", "suffix", "message"),
        [
            ("[terms]\npump = ?", ".toml", "line 2, column 8"),
            ("[words]", ".toml", "words: Extra inputs are not permitted"),
            ("[terms]\npump = {wieght = 2}", ".toml", "terms.pump.wieght: Extra inputs"),
            ('[terms]\n"error code" = {weight = -1}', ".toml", 'terms."error code".weight: .*greater than'),
            ("[terms]\npump = {weight = inf}", ".toml", "terms.pump.weight: .*finite"),
            ("[terms]\npump = 2.0", ".toml", "terms.pump: "),
            ('[terms]\n"--" = {}', ".toml", "terms: '--' has no letter or digit"),
            ('[terms]\na = {synonyms = ["!"]}', ".toml", "terms.a.synonyms: '!' has no letter"),
            ("[terms]\nPump = {}\npump = {}", ".toml", "terms: 'pump': given twice"),
            ('stop_words = ["of the"]', ".toml", "stop_words: 'of the': a stop word is one word"),
            ('stop_words = ["a"]\n[terms]\nA = {}', ".toml", "'a': both a term and a stop word"),
            ("", ".csv", "line 1: expected the columns term, weight, synonyms, got"),
            ("term,wieght\n", ".csv", "line 1: expected the columns .* got term, wieght"),
            ("weight\n", ".csv", "line 1: expected the columns"),
            ("term,term\n", ".csv", "line 1: expected the columns"),
            ("term,weight\n\npump,heavy\n", ".csv", "line 3: .*'heavy'"),
            ("term,weight\npump,-1\n", ".csv", "line 2: weight: .*greater than"),
            ("term,weight\n,2\n", ".csv", "line 2: '' has no letter"),
            ("term\npump,2\n", ".csv", "line 2: 2 values for 1 columns"),
            ("term\npump\npump\n", ".csv", "line 3: 'pump' is given twice"),
            ('term\n"pump\n', ".csv", "line 2: unexpected end of data"),
            ("pump", ".txt", "a dictionary is a .toml or a .csv file"),
        ],
    )
    def test_what_cannot_be_used_is_refused_with_its_place(self, written, text, suffix, message):
        path = written(text, suffix)
        with pytest.raises(ConfigError, match=f"{path.name}: .*{message}"):
            DomainDictionary.from_file(path)

    def test_files_that_cannot_be_read(self, tmp_path, written):
        with pytest.raises(ConfigError, match=r"absent\.toml"):
            DomainDictionary.from_file(tmp_path / "absent.toml")
        with pytest.raises(ConfigError, match="utf-8"):
            DomainDictionary.from_file(written("term\nPümpe", ".csv", "latin-1"))
        with pytest.raises(ConfigError, match=r"absent\.csv"):
            Bm25Encoder(Bm25Leg(dictionary=tmp_path / "absent.csv"))


class TestWhole:
    def test_a_phrase_comes_besides_its_words(self):
        cut = analyser(whole("error code", "error code table"))
        assert cut.surfaces("The error\ncode table: Error-Code!") == [
            *("the", "error", "code", "table", "error", "code"),
            *("error code", "error code table", "error code"),
        ]

    def test_a_phrase_is_found_inflected(self):
        text = "error codes"
        assert "error code" not in analyser(whole("error code")).surfaces(text)
        cut = analyser(whole("error code"), "english")
        assert cut.surfaces(text) == ["error", "codes", "error code"]
        assert cut.terms(text) == ["error", "code", "error code"]

    @pytest.mark.parametrize("cjk", ["bigrams", "jieba"])
    def test_chinese_words(self, cjk):
        cut = analyser(whole("滤水房阀"), cjk=cjk)
        assert cut.surfaces("这是滤水房阀的").count("滤水房阀") == 1
        assert "滤水房阀" not in analyser(whole(), cjk=cjk).surfaces("这是滤水房阀的")

    def test_words_that_analysis_keeps_whole_come_once(self):
        cut = analyser(whole("AQ-310", "过滤"))
        assert cut.surfaces("AQ-310 过滤") == ["aq-310", "aq", "310", "过滤"]
        cut = analyser(whole("AQ-310"), identifiers=False)
        assert cut.surfaces("AQ-310") == ["aq", "310", "aq-310"]

    def test_only_other_whole_words_need_another_index(self, written):
        plain = Bm25Encoder(Bm25Leg()).fingerprint
        assert encoder_of(written("[terms]\npump = {weight = 9}", ".toml")).fingerprint == plain
        two = whole("error code", "AQ-310")
        heavy = DomainDictionary(
            terms={
                "aq-310": DictionaryTerm(weight=3.0, synonyms=("x",)),
                "error code": DictionaryTerm(),
                "pump": DictionaryTerm(),
            },
            stop_words=frozenset({"the"}),
        )
        assert two.segmentation == heavy.segmentation
        assert whole("error codes", "AQ-310").segmentation != two.segmentation
        fingerprint = encoder_of(written(two.to_toml(), ".toml")).fingerprint
        assert fingerprint == {**plain, "dictionary words": two.segmentation}
        assert two.segmentation.startswith("2 kept whole, ")


class TestQueries:
    TEXTS = ("the pump", "the valve and the pump", "error code 7", "fault code 8", "the filter", "code")

    def weights(self, dictionary: str, query: str, **settings) -> dict[str, float]:
        return encoder_of(dictionary, *self.TEXTS, **settings).query_weights(query)

    def test_weights_multiply(self, written):
        path = written("[terms]\nPumps = {weight = 3}\n'error code' = {weight = 2}", ".toml")
        encoder = encoder_of(path, *self.TEXTS, language="english")
        idf = encoder.idf
        assert encoder.query_weights("pumping error codes pump") == pytest.approx(
            {
                "pump": 2 * 3 * idf("pump"),
                "error": idf("error"),
                "code": idf("code"),
                "error code": 2 * idf("error code"),
            }
        )
        assert (encoder.weight("pump"), encoder.weight("error code"), encoder.weight("error")) == (3, 2, 1)

    def test_stop_words_are_not_searched_for(self, written):
        for path in (
            written("stop_words = ['The']", ".toml"),
            written("term,weight\nthe,0\n", ".csv"),
        ):
            assert list(self.weights(path, "the pump")) == ["pump"]
            assert encoder_of(path, "pump").unknown("the pomp") == ["pomp"]

    def test_a_query_of_stop_words_alone_is_searched_for(self, written):
        path = written("stop_words = ['the']", ".toml")
        assert list(self.weights(path, "The the")) == ["the"]

    def test_synonyms_weigh_half(self, written):
        path = written("[terms]\npump = {weight = 2, synonyms = ['valve', 'unheard']}", ".toml")
        encoder = encoder_of(path, *self.TEXTS)
        assert encoder.query_weights("pump") == pytest.approx(
            {"pump": 2 * encoder.idf("pump"), "valve": encoder.idf("valve")}
        )
        # A synonym finds the term, too, and no word counts twice.
        assert encoder.query_weights("valve") == pytest.approx(
            {"valve": encoder.idf("valve"), "pump": encoder.idf("pump")}
        )
        assert encoder.query_weights("valve pump") == pytest.approx(
            {"valve": encoder.idf("valve"), "pump": 2 * encoder.idf("pump")}
        )

    def test_synonyms_of_phrases(self, written):
        path = written("[terms]\n'error code' = {synonyms = ['fault code']}", ".toml")
        encoder = encoder_of(path, *self.TEXTS)
        assert set(encoder.query_weights("error code")) == {"error", "code", "error code", "fault"}
        assert set(encoder.query_weights("code error")) == {"code", "error"}
        assert set(encoder.query_weights("fault code")) == {"fault", "code", "error", "error code"}

    def test_chinese_synonyms(self, written):
        path = written("[terms]\n'过滤器' = {synonyms = ['滤网']}", ".toml")
        encoder = encoder_of(path, "更换滤网", "水泵")
        assert encoder.query_weights("过滤器") == pytest.approx({"滤网": 0.5 * encoder.idf("滤网")})

    def test_synonyms_follow_the_language(self, written):
        path = written("[terms]\npump = {synonyms = ['valve']}", ".toml")
        encoder = encoder_of(path)
        encoder.statistics.language = "english"
        encoder.learn([EmbedText("pumps and valves")])
        assert set(encoder.query_weights("pumping")) == {"pump", "valv"}

    def test_words_of_the_dictionary_are_no_typos(self, written):
        path = written("[terms]\n'error kode' = {synonyms = ['pomp']}", ".toml")
        assert encoder_of(path, "pump error code").unknown("pomp kode vallve") == ["vallve"]

    def test_changing_a_weight_changes_the_query_alone(self, written):
        light, heavy = (
            encoder_of(written(f"[terms]\n'error code' = {{weight = {w}}}", ".toml"), *self.TEXTS)
            for w in (1, 4)
        )
        views = [EmbedText(text) for text in self.TEXTS]
        assert light.encode_documents(views) == heavy.encode_documents(views)
        ratio = (
            heavy.query_weights("error code")["error code"] / light.query_weights("error code")["error code"]
        )
        assert math.isclose(ratio, 4.0)
