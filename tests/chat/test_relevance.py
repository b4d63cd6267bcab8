"""When what was found bears on a question: nats of evidence, and what stands in where there are none."""

from math import log

import pytest

from rag_plugins.chat.relevance import relevant
from rag_plugins.types import EmbedText, Hit, Passage, StageScore, passage_id


def hit(*trace, text="Change the dust filter every 500 hours."):
    return Hit(Passage(passage_id("", content=text), "doc", (EmbedText(text),), text), 1.0, trace)


def nats(value):
    return StageScore("adaptive", "fusion", 1, value)


@pytest.mark.parametrize(("value", "enough"), [(12.0, True), (11.9, False)])
def test_the_best_hit_of_a_large_collection_needs_that_many_nats(value, enough):
    hits = [hit(nats(1.0)), hit(nats(value))]
    assert relevant("anything", hits, 12.0, 10_000, ["dense"]) is enough


def test_in_a_small_collection_less_evidence_is_enough():
    rows = 24
    assert relevant("anything", [hit(nats(2 * log(rows) + 0.01))], 12.0, rows, [])
    assert not relevant("anything", [hit(nats(2 * log(rows) - 0.01))], 12.0, rows, [])
    assert relevant("anything", [hit(nats(5.0))], 4.0, rows, [])


def test_without_evidence_a_third_of_the_longer_words_will_do():
    found = [hit(StageScore("minmax", "fusion", 1, 1.0))]
    assert relevant("How often is the dust changed?", found, 12.0, 3, [])
    assert not relevant("Who wrote this play, Hamlet?", found, 12.0, 3, [])
    assert relevant("500?", found, 12.0, 3, [])


def test_words_are_counted_in_chinese_by_character():
    found = [hit(text="每月清洗一次过滤器。")]
    assert relevant("过滤器多久清洗一次?", found, 12.0, 3, [])
    assert not relevant("谁是总统?", found, 12.0, 3, [])


def test_or_a_dense_leg_that_is_near():
    near = [hit(StageScore("dense", "leg", 1, 0.31))]
    assert relevant("Wie oft?", near, 12.0, 3, ["dense"])
    assert not relevant("Wie oft?", near, 12.0, 3, [])
    assert not relevant("Wie oft?", [hit(StageScore("dense", "leg", 1, 0.29))], 12.0, 3, ["dense"])


def test_nothing_found_is_nothing_relevant():
    assert not relevant("dust filter", [], 12.0, 100, ["dense"])
