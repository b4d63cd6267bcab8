from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_plugins.lexical.phrases import frequencies, starts


def places(text):
    return {unit: np.flatnonzero(np.array(list(text)) == unit) for unit in set(text)}


def found(phrase, text, slop=0):
    return starts(phrase, places(text), slop).tolist()


def by_hand(phrase, text, slop):
    """The definition: every choice of positions, equal units in reading order."""
    begins = set()
    for chosen in product(*([n for n, there in enumerate(text) if there == unit] for unit in phrase)):
        in_order = all(
            chosen[i] < chosen[j] for j in range(len(phrase)) for i in range(j) if phrase[i] == phrase[j]
        )
        moved = [position - i for i, position in enumerate(chosen)]
        if in_order and max(moved) - min(moved) <= slop:
            begins.add(min(moved))
    return sorted(begins)


@pytest.mark.parametrize(
    ("phrase", "text", "slop", "expected"),
    [
        ("ab", "xabyab", 0, [1, 4]),
        ("ab", "ba", 0, []),
        ("ab", "axb", 0, []),
        ("ab", "axb", 1, [0]),
        ("ab", "ba", 2, [-1]),  # Two units change places: one moves back by one, the other on by one.
        ("ab", "ba", 1, []),
        ("aa", "a", 3, []),  # One position cannot serve two units.
        ("aa", "aa", 3, [0]),
        ("aa", "aaa", 0, [0, 1]),
        ("aba", "aba", 0, [0]),
        ("a", "xaxa", 0, [1, 3]),
        ("a", "xaxa", 2, [1, 3]),
        ("abc", "abxc", 1, [0]),
        ("abc", "axbxc", 1, []),
        ("abc", "axbxc", 2, [0]),
    ],
)
def test_starts_of_matches(phrase, text, slop, expected):
    assert found(phrase, text, slop) == expected


@given(st.text("abc", min_size=1, max_size=4), st.text("abcd", max_size=10), st.integers(0, 20))
def test_starts_are_those_of_the_definition(phrase, text, slop):
    assert found(phrase, text, slop) == by_hand(phrase, text, slop)


@given(
    st.text("abc", min_size=1, max_size=4),
    st.lists(st.text("abcd", max_size=6), max_size=6),
    st.integers(0, 30),
)
def test_passages_together_are_as_each_alone(phrase, texts, slop):
    occurrences = {
        unit: (
            np.array([row for row, text in enumerate(texts) for there in text if there == unit], np.int32),
            np.array([n for text in texts for n, there in enumerate(text) if there == unit], np.int8),
        )
        for unit in phrase
    }
    rows, counts = frequencies(phrase, occurrences, np.array([len(text) for text in texts], np.int32), slop)

    alone = {row: len(by_hand(phrase, text, slop)) for row, text in enumerate(texts)}
    assert dict(zip(rows.tolist(), counts.tolist(), strict=True)) == {
        row: count for row, count in alone.items() if count
    }


def test_far_slop_is_the_same_search():
    text = "a" + "x" * 40 + "b" + "y" * 40 + "a"

    assert [found("ab", text, slop) for slop in (39, 40, 41)] == [[], [0], [0]]
    assert found("ba", text, 40) == [40 + 1]
    assert found("ba", text, 42) == by_hand("ba", text, 42)


def test_a_unit_that_stands_nowhere():
    assert found("ax", "ab") == []
    assert found("a", "") == []
