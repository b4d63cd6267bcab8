import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from rag_plugins.errors import BadInput
from rag_plugins.evaluation.ceiling.noise import Confusions, measure_confusions, noisy

PROSE = (
    "Whoever follows the modern road from the harbour turns at the corner of the old corn exchange, "
    "where 101 lamps still burn; the clerk fills in the form by hand and files it with the rest.\n"
    "It returns in three days, or does not return at all."
)
CONFUSIONS = Confusions({("rn", "m"): 6, ("l", "1"): 3, (" ", ""): 2, ("", " "): 1, ("e", "c"): 4})


def test_confusions_are_counted_as_they_were_read():
    pairs = [
        ("the modern lamps burn all night", "the modem lamps bum a1l night"),
        ("the old corner of the town", "the oldcomer of the to wn"),
    ]
    assert measure_confusions(pairs).counts == {
        ("rn", "m"): 3,
        ("l", "1"): 1,
        (" ", ""): 1,
        ("", " "): 1,
    }


def test_line_breaks_and_hyphens_are_no_errors():
    true = "Constantinople was taken\nand the walls were razed"
    assert not measure_confusions([(true, "Constanti-\nnople was  taken and\nthe walls\nwere razed")]).counts


def test_a_lost_line_and_a_page_of_rubbish_teach_nothing():
    lines = "a first line that is read well", "a second one which is lost whole", "and a third, read well too"
    assert not measure_confusions([("\n".join(lines), "\n".join((lines[0], lines[2])))]).counts
    assert not measure_confusions([(lines[0], "~~ =|| .;: _-_ %% ^^")]).counts


def test_confusions_show_their_commonest():
    assert str(CONFUSIONS).startswith("rn→m 6, e→c 4, l→1 3,  →∅ 2")


@pytest.mark.parametrize("rate", [0.02, 0.05, 0.1, 0.2, 0.3])
def test_the_rate_is_the_character_error_rate(rate):
    text = PROSE * 20
    for confusions in (CONFUSIONS, Confusions()):
        found = Levenshtein.distance(text, noisy(text, rate, 7, confusions)) / len(text)
        assert 0.9 * rate <= found <= 1.02 * rate


def test_of_short_texts_the_rate_holds_on_the_average():
    texts = [f"{word} {number}" for number, word in enumerate(PROSE.split() * 12)]
    errors = sum(Levenshtein.distance(text, noisy(text, 0.1, 0, CONFUSIONS)) for text in texts)
    assert errors / sum(map(len, texts)) == pytest.approx(0.1, rel=0.15)


def test_half_of_the_errors_are_confusions():
    text = "modern corn burns " * 200
    read = noisy(text, 0.1, 0, Confusions({("rn", "µ"): 1}))  # Two errors each, and no uniform edit makes it.
    assert 2 * read.count("µ") == pytest.approx(0.1 * len(text) / 2, abs=2)


def test_commoner_confusions_are_drawn_more_often():
    text = "ab " * 2000
    read = noisy(text, 0.1, 0, Confusions({("a", "X"): 9, ("b", "Y"): 1}))
    assert 5 < read.count("X") / read.count("Y") < 15


def test_white_space_changes_by_confusions_alone():
    assert noisy(PROSE, 0.3, 1, Confusions()).split("\n")[0].count(" ") == PROSE.split("\n")[0].count(" ")
    joined = noisy(PROSE, 0.1, 1, Confusions({(" ", ""): 1}))
    assert joined.count(" ") < PROSE.count(" ")
    split = noisy(PROSE, 0.1, 1, Confusions({("", " "): 1}))
    assert len(split.split()) > len(PROSE.split()) and "  " not in split


@given(st.text(max_size=80), st.floats(0, 0.5), st.integers(0, 3))
def test_noise_is_bounded_and_the_same_again(text, rate, seed):
    read = noisy(text, rate, seed, CONFUSIONS)
    assert read == noisy(text, rate, seed, CONFUSIONS)
    # A confusion may be of two characters, and the last of them passes what is wanted by one.
    assert Levenshtein.distance(text, read) <= rate * len(text) + 2


def test_other_seeds_err_otherwise_and_no_noise_is_none():
    assert noisy(PROSE, 0.1, 0, CONFUSIONS) != noisy(PROSE, 0.1, 1, CONFUSIONS)
    assert noisy(PROSE, 0.0, 0, CONFUSIONS) == PROSE


@pytest.mark.parametrize("rate", [-0.1, 0.6, float("nan")])
def test_a_rate_that_is_none_is_refused(rate):
    with pytest.raises(BadInput, match="from 0 to 0.5"):
        noisy(PROSE, rate, 0, CONFUSIONS)
