"""Negatives from a collection of its own: hard ones, and none that is likely to answer."""

import pytest

from rag_plugins import RagIndex
from rag_plugins.config import Bm25Leg, Config
from rag_plugins.training.negatives import Guards, mine
from rag_plugins.training.pairs import Pair

TEXTS = {
    "answer": ("manual", "Change the dust filter of the blue pump every month."),
    "sibling": ("manual", "The dust filter of the blue pump is at the store."),
    "copy": ("scan", "Change the dust filter of the blue pump every month"),
    "rival": ("other", "dust filter blue pump change"),
    "near": ("lamp", "The blue lamp has a dust filter, too, which nobody has to change."),
    "far": ("tank", "A pump fills the tank of the lorry while the driver waits outside."),
    "none": ("fuse", "Nothing here has to do with it."),
}
QUERY = "change dust filter blue pump"
PAIR = Pair(QUERY, TEXTS["answer"][1], group="manual")


def text(name):
    return TEXTS[name][1]


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    path = tmp_path_factory.mktemp("mined") / "own.db"
    with RagIndex.open(path, config=Config(legs=(Bm25Leg(),), rerank=())) as index:
        index.add(index.passage(text, doc_id=doc, caller_id=name) for name, (doc, text) in TEXTS.items())
        yield index


def test_each_guard_leaves_out_what_it_is_for(index):
    found = mine(index, [PAIR], 5)
    assert found.pairs[0].negatives == (text("near"), text("far"))
    # The answer itself is "the same", too.
    assert (found.the_same, found.of_the_document, found.too_good, found.without) == (2, 1, 1, 0)


def test_negatives_are_scored_by_the_search_hardest_first(index):
    (pair,) = mine(index, [PAIR], 5).pairs
    scores = {hit.passage.llm_text: hit.score for hit in index.search(QUERY, 10)}
    assert pair.taught == tuple(scores[each] for each in (pair.positive, *pair.negatives))
    assert pair.taught[1] > pair.taught[2] and pair.taught[1] <= 0.95 * pair.taught[0]


def test_guards_can_be_set(index):
    (pair,) = mine(index, [PAIR], 5, Guards(margin=100.0)).pairs
    assert text("rival") in pair.negatives and text("copy") not in pair.negatives
    (pair,) = mine(index, [PAIR], 5, Guards(alike=1.0, margin=100.0)).pairs
    assert text("copy") in pair.negatives and text("answer") not in pair.negatives
    (pair,) = mine(index, [Pair(QUERY, PAIR.positive)], 5).pairs
    assert text("sibling") in pair.negatives
    (pair,) = mine(index, [PAIR], 5, Guards(skip=5)).pairs
    assert pair.negatives == (text("far"),)
    assert mine(index, [PAIR], 5, Guards(depth=1)).without == 1


@pytest.mark.parametrize("count", [1, 2])
def test_no_more_than_asked_for(index, count):
    (pair,) = mine(index, [PAIR], count).pairs
    assert len(pair.negatives) == count and len(pair.taught) == count + 1


def test_what_a_pair_has_comes_after_and_is_not_scored(index):
    pair = Pair(
        QUERY, PAIR.positive, ("mine", text("far"), "more"), group="manual", taught=(9.0, 1.0, 1.0, 1.0)
    )
    (found,) = mine(index, [pair], 3).pairs
    assert found.negatives == (text("near"), text("far"), "mine") and found.taught == ()
    (found,) = mine(index, [pair], 3, Guards(depth=1)).pairs
    assert found == pair


def test_answers_of_one_query_are_not_negatives_of_another_pair_of_it(index):
    pairs = [PAIR, Pair(QUERY, text("near"), group="lamp")]
    found = mine(index, pairs, 5)
    assert [pair.negatives for pair in found.pairs] == [(text("far"),)] * 2
    assert [pair.positive for pair in found.pairs] == [pair.positive for pair in pairs]


def test_a_positive_that_is_not_found_is_measured_by_the_best_hit_and_not_taught(index):
    (pair,) = mine(index, [Pair(QUERY, "Somewhere else altogether.")], 5).pairs
    best = index.search(QUERY, 1)[0].passage.llm_text
    assert pair.negatives and best not in pair.negatives and pair.taught == ()


def test_a_query_that_finds_nothing_keeps_what_it_has(index):
    pair = Pair("zzz", "a", ("b",), taught=(1.0, 0.0))
    assert mine(index, [pair], 3).pairs == (pair,)
    assert mine(index, [Pair("zzz", "a")], 3).without == 1
