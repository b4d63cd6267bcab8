import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_plugins.errors import ConfigError
from rag_plugins.models.rerank.calibration import calibrate


def probabilities(values, scale, calibration, points=()):
    return calibrate(np.array(values, dtype=np.float32), scale, calibration, points).tolist()


def test_logits_by_the_sigmoid():
    expected = [1 / (1 + math.exp(-score)) for score in (-3.0, 0.0, 1.5)]
    assert probabilities([-3.0, 0.0, 1.5], "logit", "sigmoid") == pytest.approx(expected)


def test_the_furthest_logits_neither_overflow_nor_leave_the_scale():
    assert probabilities([-3e38, -1000.0, 1000.0, 3e38], "logit", "sigmoid") == [0.0, 0.0, 1.0, 1.0]


def test_probabilities_stay_as_they_are():
    assert probabilities([0.0, 0.25, 1.0], "probability", "sigmoid") == [0.0, 0.25, 1.0]


def test_similarities_are_no_logits():
    with pytest.raises(ConfigError, match=r"similarities.*tune --calibrate"):
        calibrate(np.zeros(1, np.float32), "similarity", "sigmoid")


@pytest.mark.parametrize("scale", ["logit", "probability", "similarity"])
def test_isotonic_is_straight_between_its_points_and_flat_beyond(scale):
    points = ((-1.0, 0.1), (0.0, 0.3), (2.0, 0.9))
    read = probabilities([-9.0, -1.0, -0.5, 1.0, 2.0, 9.0], scale, "isotonic", points)
    assert read == pytest.approx([0.1, 0.1, 0.2, 0.6, 0.9, 0.9])


def test_one_point_is_one_probability_and_a_step_is_a_step():
    assert probabilities([-1.0, 5.0], "logit", "isotonic", ((0.0, 0.25),)) == [0.25, 0.25]
    assert probabilities([-1.0, 1.0], "logit", "isotonic", ((0.0, 0.0), (0.0, 1.0))) == [0.0, 1.0]


def test_none_is_none():
    assert calibrate(np.zeros(0, np.float32), "logit", "sigmoid").shape == (0,)


scores = st.lists(st.floats(-(2.0**100), 2.0**100, width=32), max_size=20).map(sorted)
axis = st.floats(-1e12, 1e12, allow_subnormal=False)
curves = st.lists(st.tuples(axis, st.floats(0.0, 1.0)), min_size=1, max_size=8).map(
    lambda points: tuple(zip(*(sorted(axis) for axis in zip(*points, strict=True)), strict=True))
)


@given(scores, st.sampled_from(["logit", "probability"]))
def test_a_higher_score_is_never_less_likely(values, scale):
    _rises(probabilities(values, scale, "sigmoid"))


@given(scores, curves)
def test_nor_is_it_by_any_fitted_curve(values, points):
    read = probabilities(values, "similarity", "isotonic", points)
    _rises(read)
    assert all(points[0][1] - 1e-6 <= value <= points[-1][1] + 1e-6 for value in read)


def _rises(read):
    assert all(0.0 <= value <= 1.0 for value in read)
    assert all(a <= b + 1e-6 for a, b in zip(read, read[1:], strict=False))
