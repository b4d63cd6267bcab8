from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_plugins.models.batching import token_batches


def padded(lengths, batches):
    return [len(batch) * max(lengths[position] for position in batch) for batch in batches]


def test_batches_hold_texts_of_like_length():
    assert list(token_batches([10, 99, 11, 100, 12], 200)) == [[3, 1], [4, 2, 0]]


def test_a_batch_ends_where_padding_would_cost_more_than_another():
    assert list(token_batches([100, 40, 100, 40], 1000)) == [[0, 2], [1, 3]]
    assert list(token_batches([100, 95, 100, 95], 1000)) == [[0, 2, 1, 3]]


def test_a_text_beyond_the_budget_goes_alone():
    assert list(token_batches([500, 10], 100)) == [[0], [1]]
    assert list(token_batches([], 100)) == []


@given(st.lists(st.integers(0, 300)), st.integers(1, 1000))
def test_every_text_once_and_no_batch_over_budget(lengths, budget):
    batches = list(token_batches(lengths, budget))
    assert sorted(position for batch in batches for position in batch) == list(range(len(lengths)))
    assert all(
        len(batch) == 1 or size <= budget
        for batch, size in zip(batches, padded(lengths, batches), strict=True)
    )


@given(st.lists(st.integers(1, 60), min_size=1, max_size=8), st.integers(30, 200))
def test_no_other_cut_is_cheaper(lengths, budget):
    def cost(batches):
        sizes = padded(lengths, batches)
        allowed = all(len(batch) == 1 or size <= budget for batch, size in zip(batches, sizes, strict=True))
        return sum(sizes) + len(batches) * budget / 32 if allowed else float("inf")

    order = sorted(range(len(lengths)), key=lambda position: -lengths[position])
    every = (
        [order[start:end] for start, end in zip([0, *cuts], [*cuts, len(order)], strict=True)]
        for number in range(len(order))
        for cuts in combinations(range(1, len(order)), number)
    )
    assert cost(list(token_batches(lengths, budget))) == pytest.approx(min(map(cost, every)))
