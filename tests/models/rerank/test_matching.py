import math

import numpy as np
import pytest

from rag_plugins.config import Bm25Leg, Config, DenseLeg, LateInteractionConfig
from rag_plugins.index import RagIndex
from rag_plugins.models.bm25 import Bm25Encoder
from rag_plugins.models.dense import DenseEncoder
from rag_plugins.models.protocols import Candidate
from rag_plugins.models.rerank.late_interaction import LateInteractionReranker
from rag_plugins.models.rerank.matching import FEATURES, MatchHead, match_features, shipped_head
from rag_plugins.types import EmbedText

SIMILAR = np.array([[0.9, 0.1, 0.2], [0.0, 0.7, 0.1], [0.3, 0.2, 0.4]], np.float32)
WEIGHTS = np.array([0.75, 0.25, 0.0], np.float32)
PASSAGES = ["the pump is changed every month.", "red valve", "the red pumps: is every valve changed?"]


def named(features: np.ndarray) -> dict[str, float]:
    return dict(zip(FEATURES, features.tolist(), strict=True))


def candidates(*texts: str) -> list[Candidate]:
    return [Candidate((EmbedText(text),)) for text in texts]


@pytest.fixture(scope="module")
def lexical() -> Bm25Encoder:
    encoder = Bm25Encoder(Bm25Leg())
    encoder.learn([EmbedText(text) for text in PASSAGES])
    return encoder


@pytest.fixture(scope="module")
def tiny(tiny_bert) -> DenseEncoder:
    return DenseEncoder(DenseLeg(model=str(tiny_bert)))


def test_features_by_hand():
    found = named(match_features(SIMILAR, WEIGHTS))
    assert found["maxsim"] == pytest.approx(0.75 * 0.9 + 0.25 * 0.7)
    assert found["best three"] == pytest.approx(0.75 * 0.4 + 0.25 * 0.8 / 3)
    assert found["window"] == pytest.approx(found["maxsim"])
    # 0.9 and 0.7 stand side by side; 0.7 and 0.4 do, too.
    assert found["in order"] == pytest.approx(0.75 * 0.8 + 0.25 * 0.55)
    assert found["contrast"] == pytest.approx(0.75 * 0.5 + 0.25 * (0.7 - 0.8 / 3))
    assert found["mutual"] == pytest.approx(0.0)
    sigmoid = 1 / (1 + math.exp((0.8 - 0.9) / 0.04)), 1 / (1 + math.exp((0.8 - 0.7) / 0.04))
    assert found["above 0.8"] == pytest.approx(0.75 * sigmoid[0] + 0.25 * sigmoid[1])
    assert found["maxsim of words"] == pytest.approx(0.8)
    assert found["maxsim of all"] == pytest.approx(2.0 / 3)
    assert found["least"] == pytest.approx(0.7)
    assert found["least two"] == pytest.approx(0.8)
    assert found["reverse"] == pytest.approx(2.0 / 3)


def test_a_match_that_another_query_token_has_better_is_not_mutual():
    similar = np.array([[0.9], [0.5]], np.float32)
    found = named(match_features(similar, np.array([0.5, 0.5], np.float32)))
    assert found["mutual"] == pytest.approx(0.5 * (0.5 - 0.9))
    assert found["in order"] == 0.0


def test_matches_far_apart_share_no_window():
    similar = np.zeros((2, 60), np.float32)
    similar[0, 0], similar[1, 59] = 0.8, 0.6
    found = named(match_features(similar, np.array([0.5, 0.5], np.float32)))
    assert found["maxsim"] == pytest.approx(0.7)
    assert found["window"] == pytest.approx(0.4)


def test_a_passage_without_tokens_matches_nothing():
    assert not match_features(np.zeros((2, 0), np.float32), WEIGHTS[:2]).any()


class TestHead:
    def test_scores_are_the_weighted_sum_of_features(self, tiny, lexical):
        head = MatchHead(np.arange(len(FEATURES), dtype=np.float32), 0.5)
        reranker = LateInteractionReranker(tiny, lexical, head)
        features = reranker.features("red pumps?", candidates(*PASSAGES))
        scores = reranker.score("red pumps?", candidates(*PASSAGES)).values
        assert scores == pytest.approx(features @ np.arange(len(FEATURES)) + 0.5, rel=1e-4)

    def test_its_first_feature_is_late_interaction(self, tiny, lexical):
        plain = LateInteractionReranker(tiny, lexical)
        maxsim = plain.features("red pumps?", candidates(*PASSAGES))[:, 0]
        assert maxsim == pytest.approx(plain.score("red pumps?", candidates(*PASSAGES)).values, abs=1e-5)

    def test_a_query_that_cannot_all_be_read_is_left_to_late_interaction(self, tiny, lexical):
        head = MatchHead(np.full(len(FEATURES), 7.0, np.float32), 3.0)
        plain, headed = (LateInteractionReranker(tiny, lexical, some) for some in (None, head))
        query = "red 泵"
        assert tiny.query_spans(query)[1]
        passages = candidates(*PASSAGES)
        assert headed.score(query, passages).values.tolist() == plain.score(query, passages).values.tolist()


class TestShipped:
    def test_the_head_of_the_default_model(self):
        head = shipped_head("all-MiniLM-L6-v2")
        assert head is not None
        assert head.weights.shape == (len(FEATURES),)
        assert np.isfinite(head.weights).all()
        assert head.weights[0] > 0

    def test_other_models_have_none(self):
        assert shipped_head("multi-qa-MiniLM-L6-cos-v1") is None

    @pytest.mark.parametrize("head", [True, False])
    def test_the_configuration_says_whether_it_counts(self, tmp_path, head):
        config = Config(rerank=(LateInteractionConfig(head=head),))
        with RagIndex.open(tmp_path / "rag.db", config=config) as index:
            index.add([index.passage(text) for text in PASSAGES])
            (stage,) = index.parts.stages
            found = index.run("is a red valve changed?", 3).rerankings[-1].items
            read = candidates(*(index.store.fetch([item.id])[item.id].views[0].text for item in found))
            maxsim = stage.reranker.features("is a red valve changed?", read)
            expected = shipped_head("all-MiniLM-L6-v2").score(maxsim) if head else maxsim[:, 0]
            assert [item.judged.raw for item in found] == pytest.approx(expected.tolist(), abs=0.01)
