"""Grades of documents that have several passages, and what weighing gains on queries it has not seen."""

import math

import pytest

from rag_plugins.fusion import FEWEST, Case, fresh_gain, weigh

START = {"lexical": 1.0, "dense": 1.0}


def test_a_document_stands_where_its_best_passage_does_and_counts_once():
    documents = {"a1": "a", "a2": "a", "b1": "b", "b2": "b"}
    found = {"lexical": {"a1": 9.0, "a2": 8.0, "b1": 1.0}, "dense": {"b2": 2.0}}
    weighing = weigh([Case("labels", found, {"b": 1}, documents)], START)
    # Second, behind the document a, whose two passages are before it.
    assert weighing.together == pytest.approx(1 / math.log2(3))
    assert weighing.alone == pytest.approx({"lexical": 1 / math.log2(3), "dense": 1.0})


def test_an_answer_found_twice_is_no_better_than_found_once():
    documents = {"a1": "a", "a2": "a"}
    found = {"lexical": {"a1": 2.0, "a2": 1.0}, "dense": {}}
    assert weigh([Case("labels", found, {"a": 1}, documents)], START).together == 1.0


def wrong(count):
    """Cases where the lexical leg puts something else before what the dense leg finds."""
    legs = {"lexical": {"wrong": 3.0, "right": 1.0}, "dense": {"right": 1.5, "wrong": 0.0}}
    return [Case("labels", legs, {"right": 1}) for _ in range(count)]


def test_fresh_queries_gain_what_the_other_half_has_taught():
    assert fresh_gain(wrong(2 * FEWEST), START) == pytest.approx(1 - 1 / math.log2(3))


def test_too_few_queries_to_halve_say_nothing_of_fresh_ones():
    assert fresh_gain(wrong(2 * FEWEST - 1), START) is None
