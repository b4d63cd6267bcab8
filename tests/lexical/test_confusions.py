import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_plugins.lexical.confusions import reading_costs, skeleton


@pytest.mark.parametrize(
    ("word", "looks"),
    [("modern", "modem"), ("clay", "day"), ("o0", "00"), ("all", "a11"), ("vvest", "west"), ("s1x", "5lx")],
)
def test_look_alikes_have_one_skeleton(word, looks):
    assert skeleton(word) == skeleton(looks)


def test_what_does_not_look_alike_has_another():
    assert len({skeleton(word) for word in ("pump", "damp", "jump", "park", "pomp")}) == 5


def test_accents_are_specks():
    assert skeleton("amazônia") == skeleton("amazonia")


def test_look_alikes_cost_less_than_other_edits():
    costs = reading_costs(
        "corner", ["corner", "comer", "c0rner", "coxner", "korner"], np.array([0, 2, 1, 1, 1])
    )
    assert costs == pytest.approx([0.0, 0.8, 0.4, 1.0, 1.0])
    assert reading_costs("corner", [], np.array([], np.int64)).shape == (0,)


@given(st.text("abcdeilmnruvw015", min_size=1, max_size=9), st.text("abcdeilmnruvw015", max_size=9))
def test_a_reading_costs_between_two_fifths_of_its_edits_and_all_of_them(word, surface):
    edits = np.array([0, 3, 9])
    costs = reading_costs(word, [surface] * 3, edits)
    assert np.all(costs >= 0.4 * edits - 1e-9) and np.all(costs <= edits + 1e-9)
