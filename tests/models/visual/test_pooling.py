import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.cluster import hierarchy
from scipy.spatial.distance import pdist

from rag_plugins.models.visual.pooling import pooled
from rag_plugins.vectors import normalise


def rows(count, dim=16, seed=0):
    return normalise(np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32))


@given(st.integers(0, 60), st.integers(1, 8), st.integers(0, 10**6))
def test_a_share_of_the_tokens_is_left_all_of_unit_length(count, pool, seed):
    tokens = rows(count, seed=seed)
    left = pooled(tokens, pool)
    assert left.shape == (max(count // pool, min(count, 1)), 16)
    assert np.linalg.norm(left, axis=1) == pytest.approx(1.0, abs=1e-5)


def test_like_tokens_become_their_mean():
    several = np.vstack([rows(1, seed=n) + 0.05 * rows(4, seed=n + 9) for n in (3, 1, 2)])
    tokens = normalise(several)[[0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]]
    left = pooled(tokens, 4)
    expected = normalise(np.stack([tokens[n::3].mean(axis=0) for n in range(3)]))
    assert left == pytest.approx(expected, abs=1e-6)


def test_clusters_are_those_of_scipy():
    tokens = rows(40)
    labels = hierarchy.fcluster(hierarchy.ward(pdist(tokens.astype(float), "cosine")), 13, "maxclust")
    expected = normalise(np.stack([tokens[labels == label].mean(axis=0) for label in np.unique(labels)]))
    left = pooled(tokens, 3)
    assert sorted(left[:, 0].tolist()) == pytest.approx(sorted(expected[:, 0].tolist()), abs=1e-5)


def test_pooling_that_is_off_changes_nothing():
    tokens = rows(9)
    assert pooled(tokens, 1) is tokens


def test_tokens_all_alike_become_one():
    assert pooled(np.repeat(rows(1), 9, axis=0), 3) == pytest.approx(rows(1), abs=1e-6)
