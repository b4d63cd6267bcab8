import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_plugins.errors import BadInput
from rag_plugins.search.diversity import spread

# The first two are alike, the third is like none.
ALIKE = np.array([[1.0, 0.9, 0.0], [0.9, 1.0, 0.0], [0.0, 0.0, 1.0]], np.float32)


def test_the_second_of_two_that_are_alike_comes_after_what_is_new():
    assert spread([3.0, 2.0, 1.0], ALIKE, 3, 0.5) == [0, 2, 1]
    # Relevance 1, .5, 0: .8 * .5 - .2 * .9 = .22 is more than 0.
    assert spread([3.0, 2.0, 1.0], ALIKE, 2, 0.8) == [0, 1]


def test_a_short_list_and_equal_scores():
    assert spread([], np.zeros((0, 0), np.float32), 3, 0.5) == []
    assert spread([7.0], np.ones((1, 1), np.float32), 3, 0.5) == [0]
    assert spread([1.0, 1.0, 1.0], ALIKE, 3, 0.5) == [0, 2, 1]


@pytest.mark.parametrize("balance", [-0.1, 1.1, float("nan")])
def test_a_balance_outside_is_refused(balance):
    with pytest.raises(BadInput, match="balance is"):
        spread([1.0], np.ones((1, 1), np.float32), 1, balance)


@given(st.lists(st.floats(-100, 100), max_size=8), st.integers(1, 8), st.randoms(use_true_random=False))
def test_balance_1_is_the_order_of_scores_and_no_hit_comes_twice(scores, k, random):
    alike = np.array([[random.random() for _ in scores] for _ in scores], np.float32).reshape(
        len(scores), len(scores)
    )
    by_score = sorted(range(len(scores)), key=lambda n: -scores[n])[:k]
    if len(set(scores)) == len(scores) and (not scores or max(scores) - min(scores) > 1e-6):
        assert [scores[n] for n in spread(scores, alike, k, 1.0)] == pytest.approx(
            [scores[n] for n in by_score]
        )
    chosen = spread(scores, alike, k, random.random())
    assert len(chosen) == len(set(chosen)) == min(k, len(scores))
