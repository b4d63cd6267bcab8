import numpy as np
import pytest

from rag_plugins.config import Bm25Leg, DenseLeg
from rag_plugins.errors import SideError, StoreError
from rag_plugins.models.bm25 import Bm25Encoder
from rag_plugins.models.dense import DenseEncoder
from rag_plugins.models.protocols import Candidate, Read, Representation
from rag_plugins.models.rerank.late_interaction import LateInteractionReranker
from rag_plugins.models.tokens import pack_tokens, unpack_tokens
from rag_plugins.types import EmbedImage, EmbedText

TOKENS = frozenset({Representation.TOKENS})
PASSAGES = [
    "the pump is changed every month.",
    "red valve",
    "the filter, the pumps, the valves: is every valve changed every month?",
    "blue",
    "is the green filter every pumps?",
]


def candidates(*texts: str) -> list[Candidate]:
    return [Candidate((EmbedText(text),)) for text in texts]


def packed(encoder: DenseEncoder, text: str) -> bytes:
    return pack_tokens(encoder.encode_documents([EmbedText(text)], TOKENS).tokens[0])


def lexical_of(*texts: str, **settings) -> Bm25Encoder:
    encoder = Bm25Encoder(Bm25Leg(**settings))
    encoder.learn([EmbedText(text) for text in texts])
    return encoder


@pytest.fixture(scope="module")
def tiny(tiny_bert) -> DenseEncoder:
    return DenseEncoder(DenseLeg(model=str(tiny_bert)))


@pytest.fixture(scope="module")
def minilm() -> DenseEncoder:
    return DenseEncoder(DenseLeg())


class TestLateInteraction:
    def test_scores_are_the_formula(self, tiny):
        lexical = lexical_of(*PASSAGES)
        query = "red pumps?"
        scores = LateInteractionReranker(tiny, lexical).score(query, candidates(*PASSAGES)).values
        rows = tiny.encode_queries([query], TOKENS).tokens[0]
        weights = np.array([lexical.idf("red"), lexical.idf("pumps"), lexical.idf("pumps"), 0.0])
        for score, passage in zip(scores, PASSAGES, strict=True):
            best = (rows @ unpack_tokens(packed(tiny, passage)).T).max(axis=1)
            assert score == pytest.approx(weights @ best / weights.sum(), abs=1e-4)

    def test_stored_tokens_score_like_the_text(self, tiny):
        reranker = LateInteractionReranker(tiny, lexical_of(*PASSAGES))
        stored = [Candidate((EmbedText("never read"),), packed(tiny, passage)) for passage in PASSAGES]
        mixed = [stored[0], *candidates(*PASSAGES[1:])]
        fresh = reranker.score("red pump", candidates(*PASSAGES)).values
        assert reranker.score("red pump", stored).values == pytest.approx(fresh, abs=1e-4)
        assert reranker.score("red pump", mixed).values == pytest.approx(fresh, abs=1e-4)

    def test_packing_hardly_changes_real_scores(self, minilm):
        query = "how often is the filter of the pump changed?"
        passages = ["Change the filter of the pump every month.", "Birds sing at dawn in spring."]
        scores = (
            LateInteractionReranker(minilm, lexical_of(*passages)).score(query, candidates(*passages)).values
        )
        lexical = lexical_of(*passages)
        rows = minilm.encode_queries([query], TOKENS).tokens[0]
        words = [query[start:end] for start, end in minilm.query_spans(query)[0]]
        weights = np.array([lexical.idf(word) if word.isalpha() else 0.0 for word in words])
        for score, passage in zip(scores, passages, strict=True):
            exact = minilm.encode_documents([EmbedText(passage)], TOKENS).tokens[0]
            expected = weights @ (rows @ exact.T).max(axis=1) / weights.sum()
            assert score == pytest.approx(expected, abs=0.03)

    def test_what_the_encoder_did_not_read_is_said(self, tiny):
        reranker = LateInteractionReranker(tiny, lexical_of(*PASSAGES))
        whole, cut = " ".join(["red pump"] * 31), " ".join(["red pump"] * 3000)
        stored = Candidate((EmbedText(cut),), packed(tiny, cut))
        assert reranker.score("red", [*candidates(whole, "red", cut), stored]).read == {
            2: Read(62, 6000),
            3: Read(62, 6000),
        }

    def test_without_a_collection_the_candidates_give_the_idf(self, tiny):
        passages = candidates(*PASSAGES)
        expected = LateInteractionReranker(tiny, lexical_of(*PASSAGES)).score("red pump", passages).values
        assert np.array_equal(LateInteractionReranker(tiny).score("red pump", passages).values, expected)
        empty = Bm25Encoder(Bm25Leg())
        assert np.array_equal(
            LateInteractionReranker(tiny, empty).score("red pump", passages).values, expected
        )

    def test_a_rare_word_decides(self, minilm):
        passages = ["The filter is red.", "The gasket is red."]
        collection = lexical_of(*["the filter is there"] * 20, *passages)
        scores = (
            LateInteractionReranker(minilm, collection).score("gasket filter", candidates(*passages)).values
        )
        assert scores[1] > scores[0]

    @pytest.mark.parametrize("cjk", ["bigrams", "jieba"])
    def test_chinese_words_weigh_by_the_terms_they_are_part_of(self, minilm, cjk):
        common, rare = "中国", "大学"  # Of the few that MiniLM has tokens for.
        lexical = lexical_of(*[common] * 20, rare, cjk=cjk)
        passages = candidates(common, rare)
        scores = LateInteractionReranker(minilm, lexical).score(common + rare, passages).values
        assert scores[1] > scores[0]

    def test_words_that_the_model_cannot_read_are_matched_literally(self, tiny):
        passages = ["阀门 red", "red", "水泵", "門"]
        lexical = lexical_of(*passages)
        scores = LateInteractionReranker(tiny, lexical).score("阀门", candidates(*passages)).values
        assert scores.tolist() == [1.0, 0.0, 0.0, 0.0]
        mixed = LateInteractionReranker(tiny, lexical).score("red 阀门", candidates(*passages)).values
        rows, stored = tiny.encode_queries(["red 阀门"], TOKENS).tokens[0], packed(tiny, passages[1])
        red, valve = lexical.idf("red"), lexical.idf("阀门")
        cosine = (rows @ unpack_tokens(stored).T).max()
        assert mixed[1] == pytest.approx(red * cosine / (red + 2 * valve), abs=1e-4)
        assert mixed[0] > mixed[1]

    def test_a_query_longer_than_the_encoder_reads_is_told(self, minilm):
        reranker = LateInteractionReranker(minilm)
        [notice] = reranker.score("red pump " * 400, candidates("red pump")).notices
        assert notice == "late interaction read the first 254 of 800 tokens of the query"
        assert reranker.score("red pump", candidates("red pump")).notices == ()

    def test_a_query_of_punctuation_weighs_all_tokens_alike(self, tiny):
        scores = (
            LateInteractionReranker(tiny, lexical_of(*PASSAGES)).score("? .", candidates(*PASSAGES)).values
        )
        rows = tiny.encode_queries(["? ."], TOKENS).tokens[0]
        expected = (rows @ unpack_tokens(packed(tiny, PASSAGES[0])).T).max(axis=1).mean()
        assert scores[0] == pytest.approx(expected, abs=1e-4)

    def test_nothing_to_compare_scores_zero(self, tiny):
        reranker = LateInteractionReranker(tiny, lexical_of(*PASSAGES))
        assert reranker.score("", candidates("red")).values.tolist() == [0.0]
        assert reranker.score("red", candidates("", "red")).values[0] == 0.0
        assert reranker.score("red", [Candidate((EmbedImage("0" * 64),))]).values.tolist() == [0.0]
        assert reranker.score("red", []).values.shape == (0,)

    def test_odd_queries_have_finite_scores(self, tiny):
        reranker = LateInteractionReranker(tiny, lexical_of(*PASSAGES))
        for query in ("red " * 5000, "\ud800 pump", "pump\x00s", "ﬁlter Ⅷ 水"):
            assert np.isfinite(reranker.score(query, candidates(*PASSAGES)).values).all()

    def test_tokens_of_another_model_are_refused(self, tiny, minilm):
        stored = Candidate((EmbedText("red"),), packed(minilm, "red"))
        with pytest.raises(StoreError, match="384 dimensions, the query's 32"):
            LateInteractionReranker(tiny).score("red", [stored])

    def test_the_sides_do_not_mix(self, tiny):
        with pytest.raises(SideError):
            LateInteractionReranker(tiny).score(EmbedText("red"), candidates("red"))
