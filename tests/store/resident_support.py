"""A store in memory against the file it is of, read through Lite."""

from collections.abc import Sequence

import numpy as np
from store_rows import DIM, unit

from rag_plugins.store.milvus import MilvusStore
from rag_plugins.store.rows import Rows
from rag_plugins.vectors import SparseVector

QUERIES = [unit(1.0), unit(0.3, -0.5, 0.8), unit(0.1, 0.2, 0.3, 0.9)]
TERMS = SparseVector.of({1: 1.0, 2: 0.5, 3: 2.0})


def agree(store) -> Sequence[str]:
    """Check that memory, payload and Lite have the same rows; their ids."""
    assert store.rows.count() == store.count()
    ids = Rows.ids(store.rows)
    assert store.ids() == ids
    passages = Rows.passages(store.rows, ids)
    assert store.fetch(ids) == passages
    assert store.views(ids) == {id: passage.views for id, passage in passages.items()}
    assert store.confidences(ids) == store.rows.confidences(ids)
    having = Rows.ids(store.rows, field="dense")
    assert store.ids(field="dense") == having and store.count("dense") == len(having)
    stored = Rows.matrix(store.rows, "dense", DIM, ids)
    np.testing.assert_array_equal(store.matrix("dense", ids), stored)
    for field, queries in (("dense", QUERIES), ("bm25", [TERMS])):
        for query in queries:
            mine, its = (
                dict(search(store, field, query, 1000, exact=True))
                for search in (type(store).search, MilvusStore.search)
            )
            assert mine.keys() == its.keys()
            np.testing.assert_allclose([mine[id] for id in its], list(its.values()), atol=1e-5)
    return ids
