import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_plugins.models.visual.muvera import FIRST_PASSES
from rag_plugins.vectors import normalise

MUVERA, MEAN = FIRST_PASSES["muvera"], FIRST_PASSES["mean"]
passes = pytest.mark.parametrize("first", FIRST_PASSES.values(), ids=FIRST_PASSES)


def rows(count, dim=128, seed=0):
    return normalise(np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32))


def made_pages(pages=300, words=600, on_page=24):
    """Pages of words from a small vocabulary, beside much that is blank; queries of five words of one."""
    rng = np.random.default_rng(0)
    meanings, blank, common = rows(words, seed=1), rows(1, seed=2), 0.5 * rows(1, seed=3)
    chosen = [rng.choice(words, on_page, replace=False) for _ in range(pages)]
    noise = [0.5 * rows(on_page * 3 + 20, seed=n + 10) for n in range(pages)]
    said = [np.vstack([np.repeat(meanings[own], 3, axis=0), blank.repeat(20, axis=0)]) for own in chosen]
    tokens = [normalise(page + common + blur) for page, blur in zip(said, noise, strict=True)]
    asked = [meanings[own[:5]] + common + 0.5 * rows(5, seed=n + 5000) for n, own in enumerate(chosen[:60])]
    return tokens, [normalise(query) for query in asked]


def best(scores, count):
    return set(np.argsort(-np.asarray(scores))[:count].tolist())


@passes
@pytest.mark.parametrize("dim", [4, 16, 128, 200, 320])
def test_vectors_have_unit_length_and_the_size_that_was_said(first, dim):
    for count in (0, 1, 7, 300):
        tokens = rows(count, dim, seed=count)
        for vector in (first.page(tokens), first.query(tokens)):
            assert vector.shape == (first.size(dim),)
            assert vector.dtype == np.float32
            assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)


@passes
def test_a_page_without_tokens_matches_nothing(first):
    nothing, query = first.page(rows(0)), first.query(rows(5))
    assert query @ nothing == 0.0
    assert first.query(rows(0)) @ first.page(rows(9)) == pytest.approx(first.page(rows(9))[-1])


def test_the_mean_ranks_as_means_do():
    pages, query = [rows(20, seed=n) + 0.2 * rows(1, seed=n + 99) for n in range(30)], rows(6, seed=7)
    pages = [normalise(page) for page in pages]
    direct = [float(page.mean(axis=0) @ query.sum(axis=0)) for page in pages]
    made = [float(MEAN.page(page) @ MEAN.query(query)) for page in pages]
    assert np.argsort(made).tolist() == np.argsort(direct).tolist()
    assert made == pytest.approx(np.array(direct) / np.linalg.norm(query.sum(axis=0)), abs=1e-5)


@given(st.integers(0, 10**6), st.sampled_from([8, 64, 128]))
def test_a_single_token_is_met_by_its_own_page_best(seed, dim):
    """All buckets of such a page have that token, and no mean of others is longer or nearer."""
    tokens = rows(6, dim, seed)
    own, others = MUVERA.page(tokens[:1]), [MUVERA.page(tokens[1:]), MUVERA.page(tokens)]
    query = MUVERA.query(tokens[:1])
    assert query @ own >= max(query @ other for other in others) - 1e-6


@given(st.integers(0, 10**6))
def test_inner_products_estimate_the_mean_of_maxsim(seed):
    """Of one token: between the least and the greatest similarity, the estimate of many is their sum."""
    page, query = rows(12, 64, seed), rows(1, 64, seed + 1)
    similar = page @ query[0]
    estimate = (MUVERA.query(query) @ MUVERA.page(page)) * MUVERA.longest * np.sqrt(2) / 2
    assert similar.min() - 1e-5 <= estimate <= similar.max() + 1e-5


@given(st.integers(0, 10**6), st.integers(1, 20))
def test_tokens_have_no_order(seed, count):
    tokens = rows(count, 32, seed)
    order = np.random.default_rng(seed).permutation(count)
    assert MUVERA.query(tokens[order]) == pytest.approx(MUVERA.query(tokens), abs=1e-5)
    assert MEAN.page(tokens[order]) == pytest.approx(MEAN.page(tokens), abs=1e-5)


def test_the_best_by_maxsim_are_on_the_shortlist():
    pages, queries = made_pages()
    recall = {}
    for name, first in FIRST_PASSES.items():
        matrix = np.stack([first.page(page) for page in pages])
        found = [best(matrix @ first.query(query), 30) for query in queries]
        wanted = [best([(page @ query.T).max(axis=0).sum() for page in pages], 5) for query in queries]
        recall[name] = np.mean([len(some & all) / 5 for some, all in zip(wanted, found, strict=True)])
    assert recall["muvera"] > 0.7
    assert recall["muvera"] > recall["mean"] + 0.1


def test_encodings_are_the_same_on_every_machine():
    """Written down once: another machine, another version, would not find what was stored before."""
    tokens = normalise(np.arange(1, 33, dtype=np.float32).reshape(4, 8) % 7 - 3)
    page, query = MUVERA.page(tokens), MUVERA.query(tokens)
    assert page[[0, 1, 40, 100, -1]] == pytest.approx(
        [-0.0625, 0.013016, 0.016413, -0.09375, 0.153536], abs=1e-5
    )
    assert query[[0, 1, 40, 100, -1]] == pytest.approx([0, 0, 0, -0.12869, 0], abs=1e-5)
