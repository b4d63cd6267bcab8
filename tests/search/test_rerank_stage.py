"""One rerank stage, worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_plugins.config import CrossEncoderConfig, LateInteractionConfig
from rag_plugins.errors import ConfigError
from rag_plugins.models.protocols import Read, Scores
from rag_plugins.search.outcome import Outcome
from rag_plugins.search.reranking import Judged, Reranked, Reranking, below, pruned, reranked
from rag_plugins.types import StageScore

HEAD = [("a", 1.0), ("b", 0.6), ("c", 0.2)]


def scores(*values, **more):
    return Scores(np.array(values, dtype=np.float32), **more)


def blended(values, share, head=HEAD):
    settings = CrossEncoderConfig(blend=share)
    return [(item.id, pytest.approx(item.score)) for item in reranked(head, values, settings, "logit")]


def test_both_scores_are_scaled_over_the_head_and_weighed():
    items = reranked(HEAD, scores(-5.0, 1.0, 5.0), CrossEncoderConfig(blend=0.25), "logit")
    assert [(item.id, pytest.approx(item.score)) for item in items] == [
        ("a", 0.75 * 1.0 + 0.25 * 0.0),
        ("b", 0.75 * 0.5 + 0.25 * 0.6),
        ("c", 0.75 * 0.0 + 0.25 * 1.0),
    ]
    assert [(item.judged.raw, item.judged.part) for item in items] == [
        (-5.0, 0.0),
        (1.0, pytest.approx(0.15)),
        (5.0, 0.25),
    ]


def test_a_blend_of_one_is_the_rerankers_order_and_of_zero_the_one_before():
    assert [id for id, _ in blended(scores(1.0, 2.0, 3.0), 1.0)] == ["c", "b", "a"]
    assert [id for id, _ in blended(scores(1.0, 2.0, 3.0), 0.0)] == ["a", "b", "c"]


def test_equal_scores_count_alike_and_the_id_breaks_ties():
    assert blended(scores(2.0, 2.0, 2.0), 1.0) == [("a", 1.0), ("b", 1.0), ("c", 1.0)]
    swapped = [("z", 0.5), ("y", 0.5)]
    assert blended(scores(0.0, 0.0), 0.5, swapped) == [("y", 1.0), ("z", 1.0)]


def test_what_was_not_read_keeps_its_order_below_all_that_was():
    rest = below([("d", 1.0), ("e", 0.3)])
    assert [(item.id, item.judged) for item in rest] == [("d", None), ("e", None)]
    assert 0.0 >= rest[0].score > rest[1].score


@given(st.lists(st.floats(0.0, 1e4), min_size=1))
def test_what_was_not_read_is_below_whatever_fusion_says_of_it(nats):
    rest = sorted(nats, reverse=True)
    lowered = [item.score for item in below([(str(n), score) for n, score in enumerate(rest)])]
    assert all(score <= 0.0 for score in lowered) and lowered == sorted(lowered, reverse=True)


def test_scores_become_probabilities_where_a_calibration_is_set():
    sigmoid = CrossEncoderConfig(calibration="sigmoid")
    items = reranked(HEAD, scores(0.0, 2.0, -2.0), sigmoid, "logit")
    assert {item.id: item.judged.probability for item in items} == {
        "a": 0.5,
        "b": pytest.approx(0.880797),
        "c": pytest.approx(0.119203),
    }
    assert [item.id for item in items] == ["b", "a", "c"] and items[0].judged.raw == 2.0
    fitted = LateInteractionConfig(calibration="isotonic", isotonic=((0.0, 0.1), (1.0, 0.9)))
    items = reranked(HEAD, scores(0.5, 0.0, 2.0), fitted, "similarity")
    assert {item.id: item.judged.probability for item in items} == pytest.approx(
        {"a": 0.5, "b": 0.1, "c": 0.9}
    )
    with pytest.raises(ConfigError, match=r"similarities.*isotonic"):
        reranked(HEAD, scores(0.5, 0.0, 0.2), sigmoid, "similarity")


def judged(id, value, probability=None):
    return Reranked(id, 0.0, Judged(value, 0.0, 0.5, probability))


def test_the_lowest_score_allowed_counts_on_the_models_own_scale():
    items = [judged("a", 3.0), judged("b", -1.0), judged("c", 2.0)]
    assert pruned(items, 2.0, "judge", 2) == ([items[0], items[2]], [])
    assert pruned(items, 2.5, "judge", 2) == ([items[0]], [])  # All were read: no deeper reading helps.


def test_the_lowest_score_allowed_counts_on_the_calibrated_scale_where_there_is_one():
    items = [judged("a", 3.0, 0.4), judged("b", -1.0, 0.6)]
    assert pruned(items, 0.5, "judge", 1) == ([items[1]], [])


@pytest.mark.parametrize("least", [0.1, 0.7, 0.9])
def test_a_score_as_high_as_the_lowest_allowed_passes(least):
    item = judged("a", float(np.float32(least)))  # Of which 0.7 and 0.9 are a little less.
    assert pruned([item], least, "judge", 1)[0] == [item]


@pytest.mark.parametrize(("least", "kept"), [(1e300, 0), (-1e300, 1)])
def test_a_lowest_score_beyond_all_scores_is_no_fault(least, kept):
    assert len(pruned([judged("a", 3.0)], least, "judge", 1)[0]) == kept


def test_nothing_relevant_is_said_with_the_best_there_was():
    items = [judged(str(n), 0.12 - n / 100) for n in range(3)]
    assert pruned(items, 0.5, "judge", 5) == (
        [],
        ["nothing relevant here: the best of 3 passages scores 0.12, min_score is 0.5"],
    )
    kept, (empty, unread) = pruned([judged("a", 0.1), *below([("b", 1.0), ("c", 0.5)])], 0.5, "judge", 5)
    assert kept == [] and empty.startswith("nothing relevant here: the best of 1 passage scores 0.1,")
    assert unread == (
        "2 passages that judge did not read cannot pass its min_score: it reads the best 1, raise its depth "
        "for more"
    )


def test_unread_passages_go_too_and_are_named_only_where_they_are_missed():
    items = [judged("a", 0.9), judged("b", 0.8), *below([("c", 1.0)])]
    assert pruned(items, 0.5, "judge", 2) == (items[:2], [])
    kept, notices = pruned(items, 0.5, "judge", 3)
    assert kept == items[:2] and len(notices) == 1 and notices[0].startswith("1 passage that judge did not")


def test_nothing_to_prune_is_nothing_to_say():
    assert pruned([], 0.5, "judge", 5) == ([], [])


values = st.floats(-(2.0**100), 2.0**100, width=32)


@given(
    st.dictionaries(st.text("abcdefgh", min_size=1, max_size=2), st.tuples(st.floats(-1e6, 1e6), values)),
    st.floats(0.0, 1.0),
)
def test_every_passage_once_best_first_between_0_and_1(given, share):
    head = [(id, before) for id, (before, _) in given.items()]
    items = reranked(
        head, scores(*(raw for _, raw in given.values())), CrossEncoderConfig(blend=share), "logit"
    )
    assert sorted(item.id for item in items) == sorted(given)
    assert all(a.score >= b.score for a, b in zip(items, items[1:], strict=False))
    assert all(-1e-9 <= item.score <= 1.0 + 1e-9 for item in items)
    assert all(0.0 <= item.judged.part <= share for item in items)
    assert all(item.judged.raw == given[item.id][1] for item in items)


def test_a_trace_has_what_every_stage_made_of_a_hit():
    first = [Reranked("b", 1.0, Judged(0.8, 0.5, 0.5)), Reranked("a", 0.5, Judged(0.2, 0.0, 0.5))]
    second = [
        Reranked("a", 1.0, Judged(7.0, 1.0, 1.0, 0.99, Read(480, 1200))),
        Reranked("b", -0.5),
    ]
    outcome = Outcome("minmax", rerankings=[Reranking("cheap", first), Reranking("dear", second)])
    assert outcome.final == [("a", 1.0), ("b", -0.5)]
    assert outcome.reranked("cheap") == [("b", 1.0), ("a", 0.5)] and outcome.reranked("none") == []
    assert outcome.traces(["a", "b"]) == {
        "a": (
            StageScore("cheap", "rerank", 2, 0.2, 0.5, 0.0),
            StageScore("dear", "rerank", 1, 7.0, 1.0, 1.0, 0.99, 480, 1200, 1),
        ),
        "b": (StageScore("cheap", "rerank", 1, 0.8, 0.5, 0.5),),
    }


def test_what_a_reranker_cannot_read_keeps_the_score_it_had():
    items = reranked(HEAD, scores(-1.0, 1.0), CrossEncoderConfig(blend=1.0), "logit", ["a", "c"])
    assert [(item.id, item.score, item.judged is None) for item in items] == [
        ("c", 1.0, False),
        ("b", pytest.approx(0.5), True),
        ("a", 0.0, False),
    ]


def test_what_was_read_in_doubtful_words_counts_less():
    settings = CrossEncoderConfig(blend=0.5)
    items = reranked(HEAD, scores(0.0, 5.0, 10.0), settings, "logit", confidences={"a": 0.5, "c": 0.5})
    by_id = {item.id: item for item in items}
    assert by_id["a"].score == 0.75 * 1.0 + 0.25 * 0.0
    assert by_id["b"].score == pytest.approx(0.5 * 0.5 + 0.5 * 0.5)
    assert by_id["c"].score == 0.75 * 0.0 + 0.25 * 1.0
    assert (by_id["b"].judged.share, by_id["c"].judged.share) == (0.5, 0.25)
