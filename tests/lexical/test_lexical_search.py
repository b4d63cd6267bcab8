import pytest

from rag_plugins.config import Bm25Leg
from rag_plugins.lexical.postings import Analysed, Postings
from rag_plugins.lexical.rules import parse_query
from rag_plugins.lexical.search import LexicalSearch
from rag_plugins.lexical.vocabulary import Vocabulary
from rag_plugins.models.bm25 import Bm25Encoder
from rag_plugins.types import EmbedImage, EmbedText

TEXTS = {
    "a": "Change the oil filter every month.",
    "b": "The filters are in the cupboard; oil is not.",
    "c": "Coolant pumps.",
}


class Memory:
    """Postings as the term index of a few texts."""

    def __init__(self, encoder, texts):
        self._encoder = encoder
        self.dictionary = Vocabulary()
        self._postings = Postings(encoder.analyser.term, self.dictionary)
        analyser = encoder.analyser
        self._postings.put(
            [Analysed(id, analyser.surfaces(text), analyser.units(text)) for id, text in texts.items()]
        )

    def search(self, plan, limit, filter=None):
        return self._postings.search(plan, limit, self._encoder.saturation)


@pytest.fixture
def search():
    leg = Bm25Leg(language="english")
    encoder = Bm25Encoder(leg)
    encoder.learn([EmbedText(text) for text in TEXTS.values()])
    return LexicalSearch(encoder, leg, Memory(encoder, TEXTS))


def found(search, query):
    ranking, _ = search.search(query, 9)
    return [id for id, _ in ranking]


def test_plain_words_and_rules(search):
    assert found(search, "filter") == ["a", "b"]
    assert found(search, parse_query('"oil filter"')) == ["a"]
    assert found(search, parse_query("pum*")) == ["c"]
    assert found(search, "pum*") == []


def test_a_cut_rule_gives_a_notice():
    leg = Bm25Leg(language="none", max_expansions=1)
    encoder = Bm25Encoder(leg)
    encoder.learn([EmbedText("pump pumps")])
    search = LexicalSearch(encoder, leg, Memory(encoder, {"a": "pump pumps"}))

    ranking, notices = search.search(parse_query("pum*"), 9)

    assert len(ranking) == 1
    assert "pum*" in " ".join(notices)


@pytest.mark.parametrize("query", ["oil filters", '"oil filter" month*', "fliter", "pump~1 coolant"])
def test_an_explanation_adds_up_to_the_score(search, query):
    asked = parse_query(query)
    ranking, _ = search.search(asked, 9)

    assert ranking
    for id, score in ranking:
        (matches,) = search.explain(asked, [[EmbedText(TEXTS[id])]])
        assert sum(match.score for match in matches) == pytest.approx(score)


def test_an_image_has_nothing_to_explain(search):
    assert search.explain("oil", [[EmbedImage("page")]]) == [()]
    assert search.explain("oil", [[EmbedText("unrelated")]]) == [()]
