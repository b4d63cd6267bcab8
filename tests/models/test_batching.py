from hypothesis import given
from hypothesis import strategies as st

from rag_plugins.models.batching import token_batches


def test_batches_hold_texts_of_like_length():
    assert list(token_batches([10, 90, 11, 100, 12], 200)) == [[3, 1], [4, 2, 0]]


def test_a_text_beyond_the_budget_goes_alone():
    assert list(token_batches([500, 10], 100)) == [[0], [1]]


@given(st.lists(st.integers(0, 300)), st.integers(1, 1000))
def test_every_text_once_and_no_batch_over_budget(lengths, budget):
    batches = list(token_batches(lengths, budget))
    assert sorted(position for batch in batches for position in batch) == list(range(len(lengths)))
    for batch in batches:
        longest = max(lengths[position] for position in batch)
        assert len(batch) == 1 or longest * len(batch) <= budget
