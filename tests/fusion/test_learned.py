import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_plugins.fusion import Learned, LegWorth, Linear, NormalTail

KNOWN = Learned(
    legs={
        "dense": LegWorth(NormalTail(0.07, 0.083), 0.5, 0.61, 0.4),
        "bm25": LegWorth(Linear(2.2), 0.0, 0.4, 0.61),
    },
    together=0.65,
    queries=90,
    rows=1000,
    source="known items",
)

finite = st.floats(allow_nan=False, allow_infinity=False)
scales = st.builds(Linear, finite) | st.builds(NormalTail, finite, finite)
worths = st.builds(LegWorth, scales, finite, finite, finite)


@given(
    st.dictionaries(st.text(max_size=5), worths, max_size=3),
    finite,
    st.sampled_from(["labels", "known items"]),
)
def test_what_was_learned_is_read_back_from_json(legs, together, source):
    learned = replace(KNOWN, legs=legs, together=together, source=source)
    assert Learned.from_json(json.loads(json.dumps(learned.to_json()))) == learned


@pytest.mark.parametrize("damaged", [None, "x", 5, [], [1], {}, {"legs": {}}, {"legs": None}, {"legs": []}])
def test_what_is_something_else_is_learned_anew(damaged):
    assert Learned.from_json(damaged) is None


@pytest.mark.parametrize("lost", list(KNOWN.to_json()))
@pytest.mark.parametrize("by", [[], {"dense": 1}, "x", {"dense": {"weight": 1.0}}])
def test_damaged_values_are_learned_anew(lost, by):
    without = {name: value for name, value in KNOWN.to_json().items() if name != lost}
    assert Learned.from_json(without) is None
    if lost != "source":
        assert Learned.from_json({**without, lost: by}) is None


@pytest.mark.parametrize("lost", ["scale", "weight", "alone", "without"])
def test_a_leg_without_one_of_its_values_is_learned_anew(lost):
    stored = KNOWN.to_json()
    del stored["legs"]["dense"][lost]
    assert Learned.from_json(stored) is None


def test_it_fits_legs_that_it_knows():
    assert KNOWN.fits(["dense"]) and KNOWN.fits(["bm25", "dense"])
    assert not KNOWN.fits(["bm25", "image"])
