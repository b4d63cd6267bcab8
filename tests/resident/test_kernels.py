import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rag_plugins.resident import compiling, dots, kernels
from rag_plugins.resident.kernels import GROUP

SEEDS = st.integers(0, 2**32 - 1)


def codes_of(seed, rows, width):
    rng = np.random.default_rng(seed)
    codes = rng.integers(-127, 128, (rows, width)).astype(np.int8)
    factors = np.zeros(-(-rows // GROUP) * GROUP, np.float32)
    factors[:rows] = rng.random(rows)
    return codes, factors, rng.integers(-127, 128, width).astype(np.int8)


def plain(codes, factors, query):
    halves = (codes.astype(np.int64) + 128) // 16
    sums = 2 * halves @ query.astype(np.int64) - 15 * query.astype(np.int64).sum()
    return sums.astype(np.float32) * factors[: len(codes)]


@pytest.fixture(params=["packed", "rows", "numpy"])
def sketched(request, monkeypatch):
    """Codes as each kind of scan reads them."""
    if request.param == "packed" and not dots.PACKED:
        pytest.skip("this processor has no AVX512-VNNI")
    if request.param == "numpy":
        monkeypatch.setattr(kernels, "loops", lambda: None)
    else:
        monkeypatch.setattr(dots, "PACKED", request.param == "packed")

    def of(codes):
        sketch = kernels.room(codes)
        kernels.fill(sketch, codes, 0, len(codes))
        return sketch

    return of


@pytest.mark.parametrize("width", [1, 7, 8, 30, 96, 1100])
@pytest.mark.parametrize("rows", [1, 64, 65, 300])
def test_scan_finds_every_row_that_scores_enough(sketched, rows, width):
    codes, factors, query = codes_of(rows + width, rows, width)
    expected = plain(codes, factors, query)
    for threshold in (-np.inf, np.median(expected), expected.max(), np.inf):
        found, scores = kernels.scan(sketched(codes), rows, factors, query, threshold, None)
        assert found.tolist() == np.flatnonzero(expected >= threshold).tolist()
        assert np.array_equal(scores, expected[found])


def test_scan_looks_at_some_groups_of_the_allowed_rows(sketched):
    codes, factors, query = codes_of(1, 500, 24)
    mask = np.random.default_rng(2).random(500) < 0.5
    found, _ = kernels.scan(sketched(codes), 400, factors, query, -np.inf, mask, 3)
    expected = [row for row in range(400) if row // GROUP % 3 == 0 and mask[row]]
    assert found.tolist() == expected


def test_rows_are_packed_as_they_come(sketched):
    codes, factors, query = codes_of(3, 200, 20)
    sketch = kernels.room(codes)
    for start, end in ((0, 3), (3, 64), (64, 190), (190, 200)):
        kernels.fill(sketch, codes, start, end)
    assert np.array_equal(
        kernels.scan(sketch, 200, factors, query, -np.inf, None)[1], plain(codes, factors, query)
    )


def both(call):
    """What numba's loops make of it, and what numpy does."""
    results = []
    for compiled in (dots, None):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(kernels, "loops", lambda compiled=compiled: compiled)
            results.append(call())
    return results


@given(SEEDS, st.integers(1, 200), st.integers(1, 80), st.integers(1, 90))
@settings(deadline=None)
def test_pruning_adds_exactly_and_keeps_the_best(seed, width, rows, wanted):
    codes, factors, query = codes_of(seed, rows, width)
    some = np.flatnonzero(codes[:, 0] > 0)
    expected = codes[some].astype(np.int64) @ query.astype(np.int64) + 7
    scores = expected.astype(np.float32) * factors[some]
    bar = np.sort(scores)[-wanted] if wanted < len(some) else -np.inf
    for kept, totals in both(
        lambda: kernels.prune(codes, factors, query, some.copy(), np.full(len(some), 7, np.int32), wanted)
    ):
        assert kept.tolist() == some[scores >= bar].tolist()
        assert totals.tolist() == expected[scores >= bar].tolist()


SCORES = st.lists(
    st.one_of(st.floats(-1e6, 1e6, width=32), st.sampled_from([0.0, 0.25, -3.0])), min_size=1, max_size=60
)


@given(SCORES, st.integers(1, 70))
@example([0.0, 1.0, 1.0, 1.0, 2.0**-126], 4)
@settings(deadline=None, max_examples=200)
def test_the_best_are_chosen_without_sorting(values, wanted):
    scores, rows = np.array(values, np.float32), np.arange(len(values))
    least = np.sort(scores)[-wanted] if wanted < len(scores) else -np.inf
    for found in both(lambda: kernels.best(rows.copy(), scores, wanted)):
        assert found.tolist() == np.flatnonzero(scores >= least).tolist()
    for bar in both(lambda: kernels.bar(scores, wanted)):
        assert (scores >= bar).tolist() == (scores >= least).tolist()


@given(SEEDS, st.integers(1, 200), st.sampled_from([np.float16, np.float32]))
@settings(deadline=None)
def test_products_agree_and_equal_rows_have_equal_ones(seed, dim, dtype):
    rng = np.random.default_rng(seed)
    full = rng.standard_normal((20, dim)).astype(dtype)
    full[11] = full[2]
    query = rng.standard_normal(dim).astype(np.float32)
    rows = np.array([2, 3, 11, 19])
    found = {}
    for compiled in (dots, None):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(kernels, "loops", lambda compiled=compiled: compiled)
            found[compiled] = kernels.products(full, rows, query)
        assert found[compiled][0] == found[compiled][2]
        assert found[compiled].dtype == np.float32
    assert np.allclose(found[dots], found[None], rtol=1e-6, atol=1e-6)
    assert np.allclose(found[None], full[rows].astype(np.float64) @ query, rtol=1e-5, atol=1e-5)


def test_loops_are_compiled_without_a_folder_to_keep_them_in(monkeypatch):
    jit = compiling.jit

    def nowhere(signatures, cache=False, **how):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return jit(signatures, **how)

    monkeypatch.setattr(compiling, "jit", nowhere)
    double = compiling.compiled(compiling.types.int64(compiling.types.int64))(lambda x: 2 * x)
    assert double(21) == 42
