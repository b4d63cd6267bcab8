import json
import random
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from threading import Thread

import bm25s
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_plugins.config import Bm25Leg
from rag_plugins.errors import BadInput, SideError, UnknownPreset
from rag_plugins.models.bm25 import LENGTH, Bm25Encoder, Bm25Statistics, dimension
from rag_plugins.models.protocols import DENSE
from rag_plugins.types import EmbedImage, EmbedText

WORDS = [f"word{n}" for n in range(60)]
documents = st.lists(st.lists(st.sampled_from(WORDS[:8]), max_size=6), max_size=6)


def corrected(encoder, query, stored):
    """The score under the present mean length, from a vector made with the reference length."""
    counts, length = encoder.counts(stored)
    damping = encoder.saturation(length)
    found = {index: counts.get(index, 0) for index in query.as_dict()}
    return sum(query.as_dict()[index] * tf / (tf + damping) for index, tf in found.items())


def random_texts(count: int, seed: int) -> list[str]:
    choose = random.Random(seed)
    return [" ".join(choose.choices(WORDS, k=choose.randint(1, 40))) for _ in range(count)]


def encoder_of(texts: list[str], **settings) -> Bm25Encoder:
    encoder = Bm25Encoder(Bm25Leg(**settings))
    encoder.learn([EmbedText(text) for text in texts])
    return encoder


def scores(encoder: Bm25Encoder, query: str, texts: list[str]) -> list[float]:
    vector = encoder.encode_queries([query]).sparse[0]
    stored = encoder.encode_documents([EmbedText(text) for text in texts]).sparse
    return [vector.dot(document) for document in stored]


@pytest.mark.parametrize(("k1", "b"), [(1.2, 0.75), (0.9, 0.4), (1.5, 0.0)])
def test_scores_equal_bm25s_lucene(k1, b):
    texts = random_texts(200, seed=1)
    encoder = encoder_of(texts, k1=k1, b=b)
    reference = bm25s.BM25(method="lucene", k1=k1, b=b)
    reference.index([encoder.terms(text) for text in texts], show_progress=False)
    for query in [*random_texts(10, seed=2), "word1 word1 unseen"]:
        known = [term for term in encoder.terms(query) if term in encoder.statistics.frequencies]
        assert scores(encoder, query, texts) == pytest.approx(reference.get_scores(known), abs=1e-4)


def test_scores_equal_bm25s_on_names_and_stems():
    texts = [
        "def get_max_value(items): return max(items)",
        "getMaxValue returns the largest values",
        "Run with --no-cache, as AQ-310 is changed",
        "Changing caches is well-known",
    ]
    encoder = encoder_of(texts, language="english")
    reference = bm25s.BM25(method="lucene", k1=1.2, b=0.75)
    reference.index([encoder.terms(text) for text in texts], show_progress=False)
    for query in ("max_value", "getMaxValue", "--no-cache", "caching", "AQ-310 changes"):
        known = [term for term in encoder.terms(query) if term in encoder.statistics.frequencies]
        assert scores(encoder, query, texts) == pytest.approx(reference.get_scores(known), abs=1e-4)


def test_after_500_random_upserts_and_deletes_scores_equal_a_rebuild():
    choose = random.Random(3)
    encoder, stored, texts = Bm25Encoder(Bm25Leg()), {}, {}
    for n, text in enumerate(random_texts(500, seed=4)):
        key = choose.randrange(60)
        if key in texts:
            encoder.forget([EmbedText(texts.pop(key))])
            del stored[key]
        if choose.random() < 0.6:  # Else it is a delete. Later texts are shorter, so that the mean drifts.
            texts[key] = text if n < 100 else text[:60]
            encoder.learn([EmbedText(texts[key])])
            stored[key] = encoder.encode_documents([EmbedText(texts[key])]).sparse[0]
    assert encoder.statistics.drift > 0.05
    rebuilt = encoder_of(list(texts.values()))
    assert rebuilt.statistics.to_json() | {"reference_length": 0} == encoder.statistics.to_json() | {
        "reference_length": 0
    }
    for query in random_texts(10, seed=5):
        vector = encoder.encode_queries([query]).sparse[0]
        found = [corrected(encoder, vector, stored[key]) for key in texts]
        assert found == pytest.approx(scores(rebuilt, query, list(texts.values())), abs=1e-4)


def test_corrected_scores_are_the_plain_ones_where_nothing_has_drifted():
    texts = random_texts(30, seed=6)
    encoder = encoder_of(texts)
    vector = encoder.encode_queries(["word1 word2 word2"]).sparse[0]
    for stored in encoder.encode_documents([EmbedText(text) for text in [*texts, ""]]).sparse:
        assert corrected(encoder, vector, stored) == pytest.approx(vector.dot(stored), abs=1e-5)


def test_correcting_survives_very_frequent_terms():
    encoder = encoder_of(["red", "red " * 1_000_000])
    vector = encoder.encode_queries(["red"]).sparse[0]
    stored = encoder.encode_documents([EmbedText("red " * 1_000_000)]).sparse[0]
    assert corrected(encoder, vector, stored) == pytest.approx(encoder.idf("red"), rel=1e-4)


def test_passages_keep_their_length_where_no_term_can_be():
    vector = encoder_of(["red pump"]).encode_documents([EmbedText("red red pump")]).sparse[0]
    assert vector.as_dict()[LENGTH] == 3.0
    assert LENGTH == max(vector.indices.tolist())


def test_saturation_follows_the_present_mean_length():
    encoder = encoder_of(["red pump", "one two three four five six"])
    assert encoder.saturation(4.0) == pytest.approx(1.2)
    assert encoder.saturation(8.0) == pytest.approx(1.2 * (0.25 + 0.75 * 2))
    assert encoder.saturation(np.array([4.0, 8.0])) == pytest.approx([1.2, 2.1])
    assert Bm25Encoder(Bm25Leg()).saturation(np.array([4.0, 8.0])) == pytest.approx([1.2, 1.2])


class TestLanguage:
    def test_auto_follows_the_statistics(self):
        encoder = Bm25Encoder(Bm25Leg())
        assert encoder.terms("changing pumps") == ["changing", "pumps"]
        encoder.statistics.language = "english"
        assert encoder.terms("changing pumps") == ["chang", "pump"]
        encoder.statistics = Bm25Statistics(language="none")
        assert encoder.terms("changing pumps") == ["changing", "pumps"]

    def test_a_language_that_is_set_goes_before(self):
        statistics = Bm25Statistics(language="english")
        assert Bm25Encoder(Bm25Leg(language="none"), statistics).terms("pumps") == ["pumps"]
        assert Bm25Encoder(Bm25Leg(language="german"), statistics).terms("Pumpen") == ["pump"]

    def test_a_copy_with_other_statistics_has_its_own(self):
        encoder = Bm25Encoder(Bm25Leg())
        other = copy(encoder)
        other.statistics = Bm25Statistics(language="english")
        assert (encoder.terms("pumps"), other.terms("pumps")) == (["pumps"], ["pump"])

    def test_statistics_keep_it_and_those_of_old_have_none(self):
        values = Bm25Statistics(language="french").to_json()
        assert Bm25Statistics.from_json(values).language == "french"
        del values["language"]
        assert Bm25Statistics.from_json(values).language == ""


def test_words_that_may_be_misspelt():
    encoder = encoder_of(["The pump is changed, see AQ-310"], language="english")
    query = "Pumps vallve, vallve: changing AQ-311 x9 don't 水泵 max_vlaue"
    assert encoder.unknown(query) == ["vallve", "don't", "max", "vlaue"]


@pytest.fixture(scope="module")
def pieces(tiny_bert):
    return Bm25Encoder(Bm25Leg(analysis="wordpiece", model=str(tiny_bert)))


class TestWordPieces:
    def test_terms_are_the_tokens_of_the_model(self, pieces):
        assert pieces.terms("The pumps, [SEP] 水 unheard") == ["the", "pump", "##s", ",", "水"]
        assert pieces.terms("") == []
        assert len(pieces.terms("pump " * 1000)) == 1000

    def test_units_are_words_still_and_nothing_is_stemmed(self, pieces):
        encoder = copy(pieces)
        encoder.statistics = Bm25Statistics(language="english")
        assert encoder.analyser.units("The pumps") == ["the", "pumps"]
        assert encoder.analyser.term("pumps") == "pumps"
        assert encoder.unknown("the pomps") == []

    def test_the_fingerprint_names_the_tokenizer(self, pieces, tiny_bert):
        assert pieces.fingerprint["tokens"].startswith("folder ")
        named = Bm25Encoder(Bm25Leg(analysis="wordpiece")).fingerprint
        assert named["tokens"] == "all-MiniLM-L6-v2"
        assert "tokens" not in Bm25Encoder(Bm25Leg()).fingerprint

    def test_unknown_models(self):
        with pytest.raises(UnknownPreset):
            Bm25Encoder(Bm25Leg(analysis="wordpiece", model="nonesuch")).terms("x")

    def test_threads_share_the_tokenizer(self, pieces):
        texts = [f"the pumps {'red ' * n}" for n in range(200)]
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(pieces.terms, texts)) == [
                ["the", "pump", "##s"] + ["red"] * n for n in range(200)
            ]


def test_rare_words_weigh_more_and_unknown_words_match_nothing():
    encoder = encoder_of(["red pump", "red valve", "red filter"])
    assert encoder.idf("pump") > encoder.idf("red") > 0
    assert encoder.idf("unknown") > encoder.idf("pump")
    assert len(encoder.encode_queries(["unknown words only"]).sparse[0]) == 0


def test_idf_by_hand():
    encoder = encoder_of(["red pump", "red valve", "red filter"])
    assert encoder.idf("pump") == pytest.approx(np.log(1 + (3 - 1 + 0.5) / (1 + 0.5)))


def test_vectors_of_other_passages_stay_when_the_collection_grows():
    encoder = encoder_of(["red pump", "blue valve"])
    before = encoder.encode_documents([EmbedText("red pump")]).sparse[0]
    encoder.learn([EmbedText("green pump and a much longer text about it")])
    assert encoder.encode_documents([EmbedText("red pump")]).sparse[0] == before


def test_settling_on_a_drifted_mean_length_equals_a_rebuild():
    short, long = ["red pump", "blue valve"], ["a text of very many words about a green valve"]
    grown = encoder_of(short)
    grown.learn([EmbedText(long[0])])
    assert grown.statistics.drift > 1.0
    grown.statistics.settle()
    assert grown.statistics.drift == 0.0
    rebuilt = encoder_of(short + long)
    assert scores(grown, "green valve", short + long) == scores(rebuilt, "green valve", short + long)


@given(documents, documents)
def test_forgetting_undoes_learning(kept, passing):
    statistics = Bm25Statistics()
    statistics.learn(kept)
    before = statistics.to_json()
    if kept:
        statistics.learn(passing)
        statistics.forget(passing)
    assert statistics.to_json() == before


@given(documents)
def test_forgetting_everything_leaves_nothing(texts):
    statistics = Bm25Statistics()
    statistics.learn(texts)
    statistics.forget(texts)
    assert statistics == Bm25Statistics()


@given(documents)
def test_json_round_trip(texts):
    statistics = Bm25Statistics()
    statistics.learn(texts)
    assert Bm25Statistics.from_json(json.loads(json.dumps(statistics.to_json()))) == statistics


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"documents": "1", "total_length": 1, "reference_length": 1.0, "frequencies": {}},
        {"documents": 1, "total_length": 1, "reference_length": 1.0, "frequencies": {"a": "b"}},
    ],
)
def test_what_is_no_statistics_is_refused(values):
    with pytest.raises(BadInput, match="not BM25 statistics"):
        Bm25Statistics.from_json(values)


def test_forgetting_what_was_never_learned_changes_nothing():
    statistics = Bm25Statistics()
    statistics.learn([["red", "pump"]])
    before = statistics.to_json()
    with pytest.raises(BadInput, match="'valve'"):
        statistics.forget([["red", "valve"]])
    with pytest.raises(BadInput, match="2 passages"):
        statistics.forget([[], []])
    assert statistics.to_json() == before


def test_a_reader_beside_a_writer_never_sees_a_negative_idf():
    statistics = Bm25Statistics()
    statistics.learn([["base"]])
    batch = [["common", f"rare{n}"] for n in range(300)]

    def write():
        for _ in range(30):
            statistics.learn(batch)
            statistics.forget(batch)

    writer = Thread(target=write)
    writer.start()
    seen = []
    while writer.is_alive():
        seen.append(statistics.idf("common"))
    writer.join()
    assert seen
    assert min(seen) > 0


def test_an_empty_text_has_an_empty_vector():
    encoder = encoder_of(["red pump"])
    assert len(encoder.encode_documents([EmbedText("")]).sparse[0]) == 0
    assert len(encoder.encode_queries(["?!"]).sparse[0]) == 0


def test_documents_can_be_encoded_before_anything_was_learned():
    vector = Bm25Encoder(Bm25Leg()).encode_documents([EmbedText("red pump")]).sparse[0]
    assert vector.as_dict() == pytest.approx(
        {dimension("red"): 1 / 2.2, dimension("pump"): 1 / 2.2, LENGTH: 2.0}
    )


def test_the_sides_do_not_mix():
    encoder = encoder_of(["red pump"])
    with pytest.raises(SideError):
        encoder.encode_documents(["red pump"])
    with pytest.raises(SideError):
        encoder.encode_queries([EmbedText("red pump")])
    with pytest.raises(SideError, match="a list"):
        encoder.encode_queries("red pump")
    with pytest.raises(BadInput, match="EmbedImage"):
        encoder.encode_documents([EmbedImage("0" * 64)])
    with pytest.raises(BadInput, match="dense"):
        encoder.encode_queries(["red"], DENSE)


def test_fingerprint_tells_settings_apart():
    assert Bm25Encoder(Bm25Leg()).fingerprint != Bm25Encoder(Bm25Leg(b=0.5)).fingerprint


def test_dimensions_are_the_same_on_every_machine_and_below_the_reserved_ones():
    assert dimension("pump") == 3549886012
    assert dimension("\ud800") == dimension("\ud800")
    assert max(dimension(f"term{n}") for n in range(20_000)) < 2**32 - 2**16


def test_collisions_are_as_rare_as_hashing_allows():
    assert len({dimension(f"term{n}") for n in range(20_000)}) >= 19_998
