import numpy as np
import pytest

from rag_plugins.models.rerank.matching import FEATURES, shipped_head
from rag_plugins.training.recipes.listwise import Candidates, fit
from rag_plugins.training.recipes.reranking_head import NAME, asked, questions, written

ORDER = FEATURES.index("in order")


def a_list(seed: int, best: int) -> Candidates:
    """Five passages that late interaction cannot tell apart: the answer has the words in order."""
    draw = np.random.default_rng(seed)
    features = draw.normal(0.5, 0.05, (5, len(FEATURES))).astype(np.float32)
    features[:, ORDER] = 0.2
    features[best, ORDER] = 0.9
    return Candidates(np.zeros(5, np.float32), features, np.eye(5, dtype=np.float32)[best])


LISTS = [a_list(seed, seed % 5) for seed in range(40)]


def found(head, lists) -> float:
    return float(np.mean([np.argmax(head.score(one.features)) == np.argmax(one.relevant) for one in lists]))


def test_what_tells_answers_apart_is_learned():
    # Of fewer lists it is chance which of the 18 features tell them apart, and the last bits decide.
    told, held = ([a_list(start + seed, seed % 5) for seed in range(200)] for start in (1000, 2000))
    before = np.mean([np.argmax(one.features[:, 0]) == np.argmax(one.relevant) for one in held])
    assert before < 0.5 < 0.9 < found(fit([told[:100], told[100:]], nearness=0.0), held)


def test_a_head_that_may_not_stray_ranks_like_late_interaction():
    head = fit([LISTS], nearness=1e6)
    for one in LISTS:
        assert np.argmax(head.score(one.features)) == np.argmax(one.features[:, 0])


def test_scores_have_the_mean_and_spread_of_maxsim():
    head = fit([LISTS], nearness=1.0)
    features = np.concatenate([one.features for one in LISTS])
    scores = head.score(features)
    assert scores.mean() == pytest.approx(features[:, 0].mean(), abs=1e-3)
    assert scores.std() == pytest.approx(features[:, 0].std(), rel=1e-3)


def test_lists_without_an_answer_teach_nothing():
    barren = Candidates(LISTS[0].fused, LISTS[1].features, np.zeros(5, np.float32))
    assert fit([[*LISTS, barren]]).weights.tolist() == fit([LISTS]).weights.tolist()


def test_questions_leave_out_what_is_measured_and_have_one_passage_an_id():
    lines = [
        {"query": "Who  sleeps?", "positive": "A bear sleeps.", "doc_id": "d1"},
        {"query": "Who wakes?", "positive": "A fox wakes.", "doc_id": "d2"},
        {"query": "who wakes?", "positive": "A hen wakes.", "doc_id": "d3"},
    ]
    domain = questions(lines, 1, without={"who sleeps?"})
    assert domain.passages == {"d1": "A bear sleeps.", "d2": "A fox wakes.", "d3": "A hen wakes."}
    assert domain.answers == {"Who wakes?": {"d2"}, "who wakes?": {"d3"}}


def test_every_second_block_of_neighbours_is_taken():
    lines = [{"query": f"q{n}", "positive": f"p{n}", "doc_id": f"d{n:03}"} for n in range(250)]
    kept = sorted(questions(lines, 2, without=set()).passages)
    assert kept == [f"d{n:03}" for n in [*range(100), *range(200, 250)]]


def test_a_domain_is_asked_what_its_collection_holds(tmp_path):
    lines = [
        {"query": "Who sleeps in winter?", "positive": "A bear sleeps in winter.", "doc_id": "d1"},
        {"query": "Who wakes the farm?", "positive": "A cock wakes the farm.", "doc_id": "d2"},
    ]
    domain = questions(lines, 1, without=set())
    first, second = asked(domain, tmp_path / "farm.db")
    assert first.features.shape == (len(first.fused), len(FEATURES))
    assert [first.relevant.sum(), second.relevant.sum()] == [1.0, 1.0]
    assert first.features[np.argmax(first.relevant), 0] == first.features[:, 0].max()


def test_what_is_written_is_what_is_read(tmp_path, monkeypatch):
    head = fit([LISTS])
    assert written(head, tmp_path).name == NAME
    monkeypatch.setattr("rag_plugins.models.rerank.matching.FOLDER", tmp_path)
    shipped_head.cache_clear()
    try:
        read = shipped_head("all-MiniLM-L6-v2")
        assert read.weights.tolist() == head.weights.tolist()
        assert read.bias == pytest.approx(head.bias)
    finally:
        shipped_head.cache_clear()
