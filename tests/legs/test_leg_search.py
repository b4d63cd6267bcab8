"""One leg at a time over a real store, on a Lite file and on a server."""

from types import SimpleNamespace

import numpy as np
import pytest
from fusion_support import DIM, Meaning, adaptive, fill, texts

from rag_plugins import RagIndex, where
from rag_plugins.errors import BadInput
from rag_plugins.legs.search import LegSearch
from rag_plugins.lexical.rules import parse_query
from rag_plugins.models.protocols import DENSE, SPARSE, Encoding, Leg, Representation
from rag_plugins.vectors import SparseVector

ASKED = texts(1)["0"].split(". ")[0].lower()


class Both(Meaning):
    """Dense and sparse vectors of one pass, as BGE-M3 gives them; `wanted` has what each was asked for."""

    produces = DENSE | SPARSE

    def __init__(self):
        super().__init__()
        self.wanted = []

    def encode_queries(self, queries, want=DENSE):
        self.wanted.append(want)
        sparse = tuple(SparseVector.of({len(query): 1.0}) for query in queries)
        dense = super().encode_queries(queries).dense
        return Encoding(
            dense if Representation.DENSE in want else None, sparse if Representation.SPARSE in want else None
        )


@pytest.fixture
def encoder():
    return Meaning()


@pytest.fixture
def search(milvus_uri, collection, encoder):
    config = adaptive()
    with RagIndex.open(
        milvus_uri, collection=collection, config=config, encoders={"dense": encoder}
    ) as index:
        fill(index, 10)
        yield index._retriever._legs


def names(search, found):
    passages = search._store.fetch([id for id, _ in found.ranking])
    return [passages[id].caller_id for id, _ in found.ranking]


def test_legs_are_encoded_and_searched_one_by_one(search, encoder):
    dense, bm25 = search.legs.values()
    assert search.by_vector(dense) and not search.by_vector(bm25)
    vectors = search.encode([ASKED, parse_query(f'"{ASKED}"')], [dense, bm25])
    assert list(vectors) == ["dense"] and encoder.asked == [[ASKED, ASKED]]
    assert [vector.shape for vector in vectors["dense"]] == [(DIM,), (DIM,)]
    by_meaning = search.rank(dense, ASKED, vectors["dense"][0], 3)
    by_words = search.rank(bm25, ASKED, None, 3)
    assert names(search, by_meaning)[0] == names(search, by_words)[0] == "0"
    for found in (by_meaning, by_words):
        scores = [score for _, score in found.ranking]
        assert len(scores) <= 3 and scores == sorted(scores, reverse=True)
        assert found.shortlist == () and found.notices == ()
    assert len(by_meaning.ranking) == 3


def test_filters_and_notices_come_through(search):
    dense, bm25 = search.legs.values()
    vector = search.encode([ASKED], [dense])["dense"][0]
    for leg, given in ((dense, vector), (bm25, None)):
        assert "0" not in names(search, search.rank(leg, ASKED, given, 5, where("doc_id") != "0"))
    found = search.rank(bm25, parse_query("zep*"), None, 5)
    assert found.ranking == [] and "zep*" in found.notices[0]


def test_a_leg_of_vectors_needs_one(search):
    dense, _ = search.legs.values()
    with pytest.raises(BadInput, match="leg dense: it searches by a vector of the query, and got none"):
        search.rank(dense, ASKED, None, 3)


def test_legs_of_one_encoder_share_one_pass():
    both = Both()
    legs = [Leg("dense", both, Representation.DENSE), Leg("sparse", both, Representation.SPARSE)]
    search = LegSearch(SimpleNamespace(), legs, {}, {})
    vectors = search.encode(["one", "three"], legs)
    assert both.wanted == [DENSE | SPARSE] and both.asked == [["one", "three"]]
    assert vectors["sparse"] == (SparseVector.of({3: 1.0}), SparseVector.of({5: 1.0}))
    np.testing.assert_allclose(vectors["dense"][1], both.encode_queries(["three"]).dense[0])
    assert list(search.encode(["one"], legs[1:])) == ["sparse"] and both.wanted[-1] == SPARSE


def test_no_legs_ask_no_encoder(search, encoder):
    assert search.encode([ASKED], []) == {} == search.encode([ASKED], [search.legs["bm25"]])
    assert not encoder.asked


def test_an_encoder_that_gives_no_such_vector_is_an_error():
    tokens = Leg("tokens", Both(), Representation.TOKENS)
    with pytest.raises(BadInput, match="one vector a text"):
        LegSearch(SimpleNamespace(), [tokens], {}, {}).encode(["one"], [tokens])
