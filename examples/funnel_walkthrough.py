"""A Matryoshka funnel, stage by stage: what each costs, and how much of the exact search's answer is left.

    python examples/funnel_walkthrough.py [VECTORS.npy]

VECTORS.npy has rows (n, dim) of a model of yours. Without it vectors are MADE UP: 40,000 rows of 384 numbers
around 400 topics, with energy that falls off; recall on real ones differs. Times are NumPy's on this machine,
one query after another: the store reads prefixes as int8 with compiled kernels, and takes other times.
"""

import sys
import time

import numpy as np

from rag_plugins import Funnel
from rag_plugins.funnel import Prefixes, Rotation
from rag_plugins.vectors import Matrix, normalise

K, QUERIES = 10, 50
FUNNEL = Funnel([(24, 160), (96, 40), (384,)])


def made_up(rows: int = 40_000, dim: int = 384, topics: int = 400) -> Matrix:
    """Unit rows around topics, turned at random, so that no number says more than another."""
    random = np.random.default_rng(7)
    energy = np.arange(1, dim + 1) ** -0.5
    centres = random.standard_normal((topics, dim)) * energy
    own = random.standard_normal((rows, dim)) * energy
    turn, _ = np.linalg.qr(random.standard_normal((dim, dim)))
    return normalise(((centres[random.integers(topics, size=rows)] + 0.7 * own) @ turn).astype(np.float32))


def best(matrix: Matrix, query: Matrix, k: int) -> np.ndarray:
    """Positions of the k rows that are most like the query, the best first."""
    scores = matrix @ query
    top = np.argpartition(-scores, k - 1)[:k]
    return top[np.argsort(-scores[top], kind="stable")]


def walk(prefixes: Prefixes, vectors: Matrix, queries: Matrix) -> None:
    """One line a stage, then what the exact search costs."""
    exact = [set(best(vectors, query, K).tolist()) for query in queries]
    rows = [np.arange(len(vectors))] * len(queries)
    print(f"{'stage':>12}{'rows read':>12}{'numbers':>9}{'multiply-adds':>15}{'ms':>8}{'recall@10':>11}")
    for stage in prefixes.funnel.stages:
        # A store keeps these prefixes: making them is no part of a search.
        cut, asked = prefixes.cut(vectors, stage.width), prefixes.cut(queries, stage.width)
        read, keep = len(rows[0]), prefixes.funnel.kept(stage, K)
        start = time.perf_counter()
        some = [cut if read == len(cut) else cut[kept] for kept in rows]
        rows = [kept[best(*pair, keep)] for kept, *pair in zip(rows, some, asked, strict=True)]
        spent = 1000 * (time.perf_counter() - start) / len(queries)
        left = np.mean([len(found & set(kept.tolist())) / K for found, kept in zip(exact, rows, strict=True)])
        print(
            f"{f'keep {keep}':>12}{read:12,}{stage.width:9}{read * stage.width:15,}{spent:8.3f}{left:11.3f}"
        )
    start = time.perf_counter()
    for query in queries:
        best(vectors, query, K)
    spent = 1000 * (time.perf_counter() - start) / len(queries)
    print(f"{'exact':>12}{len(vectors):12,}{vectors.shape[1]:9}{vectors.size:15,}{spent:8.3f}{1.0:11.3f}")


everything = normalise(np.load(sys.argv[1]).astype(np.float32)) if len(sys.argv) > 1 else made_up()
vectors, queries = everything[:-QUERIES], everything[-QUERIES:]
dim = vectors.shape[1]
funnel = FUNNEL if dim == FUNNEL.width else Funnel([(dim // 16, 160), (dim // 4, 40), (dim,)])
print(f"{'vectors of ' + sys.argv[1] if len(sys.argv) > 1 else 'MADE-UP vectors'}, {len(queries)} queries\n")
print("prefixes of the vectors as they are: no Matryoshka model made them")
walk(Prefixes(funnel), vectors, queries)
print("\nprefixes of rotated vectors: what varies most comes first, inner products stay")
walk(Prefixes(funnel, Rotation.fit(vectors, dim // 4)), vectors, queries)
print("\nthe same for the first 1,000 rows: a funnel is for collections where the exact search takes long")
walk(Prefixes(funnel, Rotation.fit(vectors, dim // 4)), vectors[:1000], queries)
