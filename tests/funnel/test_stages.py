"""Funnels: what they refuse, what they find, how they are written down."""

import numpy as np
import pytest
from funnel_vectors import spectrum
from hypothesis import given
from hypothesis import strategies as st

from rag_plugins.errors import BadInput
from rag_plugins.funnel import Funnel, Stage
from rag_plugins.vectors import normalise, truncate


@st.composite
def funnels(draw, dim=16):
    widths = sorted(draw(st.sets(st.integers(1, dim), min_size=1, max_size=4)))
    keeps = sorted(draw(st.lists(st.integers(1, 50), min_size=len(widths) - 1, max_size=len(widths) - 1)))[
        ::-1
    ]
    return Funnel([*zip(widths[:-1], keeps, strict=True), (widths[-1],)])


@st.composite
def rows_of_steps(draw, dim=16):
    """Few different numbers, so that scores are often equal."""
    count = draw(st.integers(1, 30))
    seed = draw(st.integers(0, 2**32 - 1))
    return normalise(np.random.default_rng(seed).integers(-1, 2, (count, dim)).astype(np.float32))


def exact(query, matrix, limit, width):
    scores = truncate(matrix, width) @ truncate(query, width)
    rows = sorted(range(len(matrix)), key=lambda row: (-scores[row], row))
    return [(row, float(scores[row])) for row in rows[:limit]]


def assert_same(found, query, matrix, limit, width):
    """But for the order of additions, which may decide between rows that are equal."""
    scores = dict(exact(query, matrix, len(matrix), width))
    assert [score for _, score in found] == pytest.approx([scores[row] for row, _ in found], abs=1e-5)
    best = [score for _, score in exact(query, matrix, limit, width)]
    assert [score for _, score in found] == pytest.approx(best, abs=1e-5)


@given(funnels(), rows_of_steps(), st.integers(1, 40))
def test_keeping_everything_is_the_exact_search_of_the_last_width(funnel, matrix, limit):
    everything = Funnel([*((stage.width, len(matrix)) for stage in funnel.pruning), (funnel.width,)])
    assert_same(everything.rank(matrix[0], matrix, limit), matrix[0], matrix, limit, funnel.width)


@given(funnels(), rows_of_steps(), st.integers(1, 40))
def test_a_ranking_is_sorted_distinct_and_breaks_ties_by_row(funnel, matrix, limit):
    found = funnel.rank(matrix[-1], matrix, limit)
    assert found == sorted(found, key=lambda hit: (-hit[1], hit[0]))
    assert len({row for row, _ in found}) == len(found) == min(limit, len(matrix))


@given(funnels(), rows_of_steps(), st.integers(1, 40))
def test_each_stage_sees_what_the_one_before_kept(funnel, matrix, limit):
    rows = list(range(len(matrix)))
    for stage in funnel.pruning:
        scores = dict(exact(matrix[0], matrix, len(matrix), stage.width))
        rows = sorted(rows, key=lambda row: (-scores[row], row))[: max(stage.keep, 2 * limit)]
    scores = dict(exact(matrix[0], matrix, len(matrix), funnel.width))
    best = sorted((scores[row] for row in rows), reverse=True)[:limit]
    found = [score for _, score in funnel.rank(matrix[0], matrix, limit)]
    assert found == pytest.approx(best, abs=1e-5)


def test_a_later_stage_finds_only_what_the_first_has_kept():
    matrix = np.array([[0.6, 0.8], [0.8, 0.6], [1.0, 0.0], [0.0, 1.0]], np.float32)
    query = np.array([0.6, 0.8], np.float32)
    # By one number the first three are equal: 2 * limit of them, the lower rows, are kept.
    assert Funnel([(1, 2), (2,)]).rank(query, matrix, 1) == [(0, pytest.approx(1.0))]
    assert [row for row, _ in Funnel([(1, 1), (2,)]).rank(query, matrix[::-1].copy(), 1)] == [2]


def test_more_is_kept_where_more_is_asked_for():
    funnel = Funnel([(4, 30), (8, 20), (16,)])
    assert [funnel.kept(stage, 5) for stage in funnel.stages] == [30, 20, 5]
    assert [funnel.kept(stage, 100) for stage in funnel.stages] == [200, 200, 100]


@pytest.mark.parametrize(
    ("stages", "reason"),
    [
        ([], "at least one stage"),
        ([(8, 10), (8,)], "widths must rise"),
        ([(16, 10), (8,)], "widths must rise"),
        ([(8,), (16,)], "every stage but the last"),
        ([(8, 10), (16, 5)], "every stage but the last"),
        ([(4, 10), (8, 20), (16,)], "cannot keep more"),
        ([(0,)], "at least 1"),
        ([(8, 0), (16,)], "at least 1"),
        ([(8, 10, 3), (16,)], "expected \\(width, keep\\)"),
        ([("8", 10), (16,)], "expected \\(width, keep\\)"),
    ],
)
def test_what_is_no_funnel_is_refused_with_the_reason(stages, reason):
    with pytest.raises(BadInput, match=reason):
        Funnel(stages)


def test_a_funnel_wider_than_the_vectors_is_refused():
    with pytest.raises(BadInput, match="have 16 numbers"):
        Funnel([(8, 10), (32,)]).rank(np.ones(16, np.float32), np.ones((1, 16), np.float32), 1)


@given(st.integers(12, 4096))
def test_halving_ends_at_the_whole_width_and_halves(dim):
    funnel = Funnel.halving(dim)
    assert funnel.width == dim and funnel.stages[0].width == max(dim // 32, 1)
    keeps = [stage.keep for stage in funnel.pruning]
    assert keeps == [512 >> n for n in range(len(keeps))]
    assert len(funnel.stages) == 6 or dim < 32


def test_halving_is_the_classic_schedule():
    assert Funnel.halving(768).to_json() == [[24, 512], [48, 256], [96, 128], [192, 64], [384, 32], [768]]


@given(funnels())
def test_written_down_and_read_it_is_the_same(funnel):
    assert Funnel(funnel.to_json()) == funnel
    assert Funnel(funnel.stages) == funnel == Funnel([Stage(s.width, s.keep) for s in funnel.stages])


def test_it_reads_as_a_path():
    assert str(Funnel([(96, 200), (384,)])) == "funnel 96 (200 kept) -> 384"


def test_a_funnel_finds_what_the_exact_search_does_where_prefixes_are_good():
    matrix = spectrum(2000, 64, turned=False)
    funnel = Funnel([(16, 200), (64,)])
    for query in spectrum(20, 64, seed=1, turned=False):
        assert_same(funnel.rank(query, matrix, 5), query, matrix, 5, 64)
