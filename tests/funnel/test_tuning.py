"""Tuning: recall as it is measured by searching, the cheapest funnel that meets the target, and no other."""

import json

import numpy as np
import pytest
from funnel_vectors import spectrum
from hypothesis import given
from hypothesis import strategies as st

from rag_plugins.errors import BadInput
from rag_plugins.funnel import Funnel, Rotation
from rag_plugins.funnel.trials import candidate_widths, cost
from rag_plugins.funnel.tuning import tune
from rag_plugins.vectors import normalise, truncate

MATRIX = spectrum(3000, 64)
QUERIES = spectrum(60, 64, seed=1)
ROTATION = Rotation.fit(MATRIX, 32)


def recall(funnel, matrix, queries, rotation, k=10):
    """By searching: pruned on rotated prefixes, scored on the vectors themselves."""
    found = 0
    for query in queries:
        rows = np.arange(len(matrix))
        for stage in funnel.pruning:
            prefixes = truncate(rotation(matrix[rows], stage.width), stage.width)
            scores = prefixes @ truncate(rotation(query, stage.width), stage.width)
            rows = rows[np.argsort(-scores, kind="stable")[: funnel.kept(stage, k)]]
        scores = matrix @ query
        tenth = np.sort(scores)[-k]
        found += (np.sort(scores[rows])[::-1][:k] >= tenth - 1e-6).sum()
    return found / (k * len(queries))


@pytest.fixture(scope="module")
def tuning():
    return tune(MATRIX, QUERIES, recall=0.95, rotation=ROTATION)


def test_recall_is_what_a_search_finds(tuning):
    pairs = [trial for trial in tuning.trials if len(trial.funnel.stages) == 2]
    for trial in pairs[::20]:
        assert trial.recall == pytest.approx(recall(trial.funnel, MATRIX, QUERIES, ROTATION), abs=1e-9)
    for trial in [trial for trial in tuning.trials if len(trial.funnel.stages) > 2][::5]:
        # What each stage by itself would keep is at most what they keep one after the other.
        assert trial.recall <= recall(trial.funnel, MATRIX, QUERIES, ROTATION) + 1e-9


def test_the_cheapest_that_meets_the_target_is_chosen(tuning):
    good = [trial for trial in tuning.trials if trial.floor >= 0.95]
    assert tuning.chosen in good and tuning.funnel == tuning.chosen.funnel
    assert tuning.chosen.cost == min(trial.cost for trial in good) < tuning.exact_cost
    assert recall(tuning.funnel, MATRIX, QUERIES, ROTATION) >= 0.95


def test_a_higher_target_is_never_cheaper():
    costs = [
        tune(MATRIX, QUERIES, recall=target, rotation=ROTATION).chosen.cost for target in (0.8, 0.9, 0.99)
    ]
    assert costs == sorted(costs) and costs[0] < costs[-1]


def test_the_sampling_error_lowers_what_is_promised(tuning):
    assert all(trial.floor <= trial.recall for trial in tuning.trials)
    assert any(trial.floor < trial.recall for trial in tuning.trials)


def test_it_still_does_when_the_collection_has_grown():
    matrix, queries = spectrum(8000, 128), spectrum(60, 128, seed=1)
    small = matrix[:2000]
    rotation = Rotation.fit(small, 64)
    now, later = (tune(small, queries, recall=0.95, rotation=rotation, growth=g) for g in (1.0, 4.0))
    assert later.chosen.cost > now.chosen.cost
    assert (
        recall(later.funnel, matrix, queries, rotation)
        >= 0.95
        > recall(now.funnel, matrix, queries, rotation)
    )


def test_vectors_in_blocks_tune_alike(tuning):
    blocks = tune(
        lambda: iter([MATRIX[:5], MATRIX[5:1700], MATRIX[1700:]]), QUERIES, recall=0.95, rotation=ROTATION
    )
    assert blocks.funnel == tuning.funnel and blocks.rows == 3000
    assert [trial.recall for trial in blocks.trials] == [trial.recall for trial in tuning.trials]


def test_declared_widths_alone_are_tried():
    matrix, queries = spectrum(2000, 64, turned=False), spectrum(40, 64, seed=1, turned=False)
    tuning = tune(matrix, queries, recall=0.9, widths=(16, 32))
    assert {stage.width for trial in tuning.trials for stage in trial.funnel.stages} == {16, 32, 64}
    assert [one.width for one in tuning.alone] == [16, 32] and tuning.funnel


def test_prefixes_alone_have_their_recall_and_size(tuning):
    exact = np.argsort(-(QUERIES @ MATRIX.T), axis=1)[:, :10]
    for one in tuning.alone:
        prefix = truncate(ROTATION(QUERIES, one.width), one.width) @ (
            truncate(ROTATION(MATRIX, one.width), one.width).T
        )
        ranked = np.argsort(-prefix, axis=1)[:, :10]
        shares = [len(set(a) & set(b)) / 10 for a, b in zip(exact, ranked, strict=True)]
        assert one.recall == pytest.approx(np.mean(shares), abs=1e-9)
        assert one.bytes_stored == 3000 * one.width * 4


def test_halving_is_measured_where_its_widths_are():
    tuning = tune(MATRIX, QUERIES, rotation=ROTATION, widths=(2, 4, 8, 16, 32))
    (halving,) = [trial for trial in tuning.trials if trial.funnel == Funnel.halving(64)]
    assert 0 < halving.recall <= recall(halving.funnel, MATRIX, QUERIES, ROTATION) + 1e-9


def test_where_no_funnel_will_do_there_is_none():
    noise = normalise(np.random.default_rng(0).standard_normal((400, 64)).astype(np.float32))
    tuning = tune(noise, QUERIES, recall=1.0, rotation=Rotation.fit(noise, 32))
    assert tuning.funnel is None and tuning.chosen is None and tuning.trials
    assert tuning.to_json()["funnel"] == "off"


def test_equal_rows_cost_no_recall():
    matrix = np.repeat(MATRIX[:20], 100, axis=0)
    tuning = tune(matrix, matrix[::100], recall=0.99, rotation=Rotation.fit(matrix, 32))
    assert tuning.funnel and tuning.funnel.pruning[0].keep == 20


def test_fewer_rows_than_hits_are_all_found():
    tuning = tune(MATRIX[:3], QUERIES, rotation=ROTATION)
    assert all(trial.recall == 1.0 for trial in tuning.trials) and tuning.rows == 3


def test_the_table_has_the_best_keep_of_each_schedule(tuning):
    widths = [tuple(stage.width for stage in trial.funnel.stages) for trial in tuning.table]
    assert len(set(widths)) == len(widths) and tuning.chosen in tuning.table
    for trial in tuning.table:
        same = [
            t
            for t in tuning.trials
            if [s.width for s in t.funnel.stages] == [s.width for s in trial.funnel.stages]
        ]
        good = [t.cost for t in same if t.floor >= 0.95]
        assert trial.cost == min(good) if good else trial.floor == max(t.floor for t in same)


def test_its_json_is_plain_and_has_what_was_chosen(tuning):
    value = json.loads(json.dumps(tuning.to_json()))
    (chosen,) = [row for row in value["trials"] if row["chosen"]]
    assert chosen["funnel"] == value["funnel"] == tuning.funnel.to_json()
    assert (value["target"], value["k"], value["rows"], value["queries"]) == (0.95, 10, 3000, 60)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"queries": QUERIES[:0]}, "0 queries"),
        ({"recall": 0.0}, "recall 0"),
        ({"recall": 1.1}, "recall 1.1"),
        ({"k": 0}, "k 0"),
        ({"growth": 0.5}, "growth 0.5"),
        ({"vectors": MATRIX[:0]}, "no vectors"),
        ({"widths": (16, 64)}, "\\[64\\]"),
        ({"widths": (0,)}, "\\[0\\]"),
        ({"widths": (48,)}, "1 to 32"),
        ({"rotation": Rotation.fit(MATRIX[:, :32], 8)}, "rotation of vectors of 32"),
    ],
)
def test_what_cannot_be_tuned_is_refused(changes, reason):
    arguments = {"vectors": MATRIX, "queries": QUERIES, "rotation": ROTATION, **changes}
    vectors, queries = arguments.pop("vectors"), arguments.pop("queries")
    with pytest.raises(BadInput, match=reason):
        tune(vectors, queries, **arguments)


def test_the_cost_grows_with_rows_widths_and_keeps():
    def of(*stages, rows=100_000):
        return cost(Funnel(stages), rows, 384)

    assert of((48, 200), (384,)) < of((96, 200), (384,)) < of((96, 400), (384,)) < of((384,))
    assert of((96, 200), (384,), rows=1000) < of((96, 200), (384,))
    # A stage between is worth it where it spares many full vectors, and only there.
    assert of((96, 2000), (192, 100), (384,)) < of((96, 2000), (384,))
    assert of((96, 40), (384,)) < of((96, 40), (192, 20), (384,))


def test_no_more_rows_are_kept_than_there_are():
    assert cost(Funnel([(96, 200), (384,)]), 50, 384) == cost(Funnel([(96, 50), (384,)]), 50, 384)


@given(st.integers(1, 4096))
def test_candidates_are_narrower_and_multiples_of_four(dim):
    widths = candidate_widths(dim)
    assert all(0 < width < dim and width % 4 == 0 for width in widths)
    assert list(widths) == sorted(set(widths)) and (widths or dim <= 4)


def test_candidates_of_usual_models():
    assert candidate_widths(384) == (12, 16, 24, 32, 48, 64, 96, 128, 192)
    assert candidate_widths(768) == (24, 32, 48, 64, 96, 128, 192, 256, 384)
