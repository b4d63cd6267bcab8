"""Embedding objects of other libraries: used as they are, and never believed."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from rag_plugins import Config, EmbedText, RagIndex, from_pymilvus
from rag_plugins.config import Bm25Leg, DenseLeg, SparseLeg
from rag_plugins.errors import BadInput, CollectionMismatch, ConfigError, SideError
from rag_plugins.models.foreign import ForeignEncoder
from rag_plugins.models.protocols import DENSE, SPARSE, Representation
from rag_plugins.types import EmbedImage

WORDS = ["filter", "pump", "valve", "red"]
BOTH = DENSE | SPARSE


class DenseFunction:
    """Counts words, plus one dimension that is never zero; queries are as long as their words are many."""

    def __init__(self, *more):
        self.words = [*WORDS, *more]
        self.calls = []

    def encode_documents(self, documents):
        self.calls.append(documents)
        return [np.array([*(3.0 * text.count(word) for word in self.words), 1.0]) for text in documents]

    def encode_queries(self, queries):
        return [100.0 * row for row in self.encode_documents(queries)]


class SparseFunction:
    """Counts words, in a scipy matrix."""

    def encode_documents(self, documents):
        return csr_array([[float(text.count(word)) for word in WORDS] for text in documents])

    def encode_queries(self, queries):
        return self.encode_documents(queries)


class BothFunction:
    """As BGE-M3's: everything under its name, and what nobody asked for besides."""

    def __init__(self):
        self.passes = 0

    def encode_documents(self, documents):
        self.passes += 1
        dense, sparse = DenseFunction(), SparseFunction()
        return {
            "dense": dense.encode_documents(documents),
            "sparse": sparse.encode_documents(documents),
            "colbert_vecs": [[[1.0]]] * len(documents),
        }

    def encode_queries(self, queries):
        return self.encode_documents(queries)


def views(*texts):
    return [EmbedText(text) for text in texts]


def giving(vectors, **settings):
    return ForeignEncoder("given", lambda texts: vectors, lambda texts: vectors, **settings)


def test_vectors_become_unit_vectors_on_both_sides():
    encoder = from_pymilvus(DenseFunction(), name="counts")
    documents = encoder.encode_documents(views("red filter", "")).dense
    queries = encoder.encode_queries(["red filter"]).dense
    assert documents is not None and queries is not None
    assert documents.dtype == np.float32 and documents.shape == (2, 5)
    np.testing.assert_allclose(documents[0], np.array([3, 0, 0, 3, 1]) / np.sqrt(19), rtol=1e-6)
    np.testing.assert_allclose(queries[0] @ documents[0], 1.0, atol=1e-3)


def test_one_text_tells_what_it_gives_and_is_asked_for_once():
    function = DenseFunction()
    encoder = from_pymilvus(function, name="counts")
    assert encoder.produces == DENSE
    assert encoder.dim == 5 and encoder.dim == 5
    assert function.calls == [["text"]]
    assert dict(encoder.fingerprint)["dim"] == 5


def test_nothing_is_asked_where_all_is_said():
    def fails(_):
        raise AssertionError

    encoder = ForeignEncoder("counts", fails, fails, dim=3)
    assert (encoder.produces, encoder.dim, encoder.matryoshka) == (DENSE, 3, ())
    empty = encoder.encode_documents([]).dense
    assert empty is not None and empty.shape == (0, 3)


def test_sparse_rows_are_in_order_without_zeros():
    matrix = csr_array(
        (np.array([2.0, 0.0, 1.5, 0.5, 0.5]), np.array([9, 4, 2, 7, 7]), np.array([0, 3, 3, 5])),
        shape=(3, 30522),
    )
    encoder = giving(matrix, produces=SPARSE)
    found = encoder.encode_documents(views("a", "b", "c"), SPARSE).sparse
    assert found is not None
    assert [vector.as_dict() for vector in found] == [{2: 1.5, 9: 2.0}, {}, {7: 1.0}]
    assert matrix.nnz == 5, "the object's own matrix is left alone"
    assert encoder.encode_documents([], SPARSE).sparse == ()
    assert "dim" not in encoder.fingerprint


def test_both_in_one_pass():
    function = BothFunction()
    encoder = from_pymilvus(function, name="both")
    assert encoder.produces == BOTH
    encoding = encoder.encode_queries(["red valve"], BOTH)
    assert encoding.dense is not None and encoding.sparse is not None
    assert encoding.dense.shape == (1, 5)
    assert encoding.sparse[0].as_dict() == {2: 1.0, 3: 1.0}
    assert encoder.encode_queries(["red"], SPARSE).dense is None
    assert function.passes == 3


def test_what_it_does_not_give_is_refused():
    with pytest.raises(BadInput, match=r"\['tokens'\] are wanted: given gives \['dense'\]"):
        giving([[1.0]]).encode_queries(["a"], frozenset({Representation.TOKENS}))
    with pytest.raises(BadInput, match="are wanted"):
        giving([[1.0]]).encode_queries(["a"], frozenset())


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        ([], r"shape \(0,\) for 2 texts"),
        ([[1.0, 0.0]], r"shape \(1, 2\) for 2 texts, expected \(2, numbers\)"),
        ([[1.0, 0.0]] * 3, r"shape \(3, 2\) for 2 texts"),
        ([1.0, 0.0], r"shape \(2,\) for 2 texts"),
        ([[1.0, 0.0], [1.0]], "no matrix of numbers"),
        ([["a", "b"], ["c", "d"]], "no matrix of numbers"),
        (7, "no matrix of numbers"),
        (None, "for 2 texts"),
        ([[1.0, 0.0], [float("nan"), 0.0]], "text 2 of 2 has a number that is not finite"),
        ([[float("inf"), 0.0], [1.0, 0.0]], "text 1 of 2 has a number that is not finite"),
        ([[1.0, 0.0], [0.0, 0.0]], "text 2 of 2 has nothing but zeros"),
        ([[1.0], [1.0]], "vectors of 1 numbers, expected 2"),
    ],
)
def test_unusable_vectors_are_refused_with_what_is_wrong(vectors, message):
    encoder = giving(vectors, dim=2)
    for encode in (
        lambda: encoder.encode_documents(views("a", "b")),
        lambda: encoder.encode_queries(["a", "b"]),
    ):
        with pytest.raises(BadInput, match=f"^given.*{message}"):
            encode()


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (csr_array([[1.0], [1.0], [1.0]]), "shape .3, 1. for 2 texts"),
        (csr_array([[-1.0], [1.0]]), "negative or not finite"),
        (csr_array([[float("nan")], [1.0]]), "negative or not finite"),
    ],
)
def test_unusable_weights_are_refused(matrix, message):
    with pytest.raises(BadInput, match=message):
        giving(matrix, produces=SPARSE).encode_documents(views("a", "b"), SPARSE)


def test_extreme_numbers_have_a_direction_too():
    for scale in (1e300, 1e-300):
        dense = giving([[scale, scale]]).encode_queries(["a"]).dense
        np.testing.assert_allclose(dense, [[np.sqrt(0.5)] * 2], rtol=1e-6)


def test_the_sides_do_not_mix():
    encoder = giving([[1.0]])
    with pytest.raises(SideError):
        encoder.encode_queries(views("a"))
    with pytest.raises(SideError):
        encoder.encode_documents(["a"])
    with pytest.raises(BadInput, match="EmbedImage"):
        encoder.encode_documents([EmbedImage("0")])


def test_errors_of_the_object_pass_through_and_say_where():
    class Busy(Exception):
        pass

    def fails(_):
        raise Busy("429")

    encoder = ForeignEncoder("hosted-model", fails, fails)
    with pytest.raises(Busy, match="429") as caught:
        encoder.encode_queries(["a"])
    assert caught.value.__notes__ == ["hosted-model was to embed 1 texts"]


def test_prompts_go_before_texts():
    seen = []

    def embed(texts):
        seen.extend(texts)
        return [[1.0]] * len(texts)

    encoder = ForeignEncoder("m", embed, embed, dim=1, query_prompt="query: ", document_prompt="passage: ")
    encoder.encode_queries(["a"])
    encoder.encode_documents(views("b"))
    assert seen == ["query: a", "passage: b"]
    assert dict(encoder.fingerprint) == {
        "model": "m",
        "dim": 1,
        "query_prompt": "query: ",
        "document_prompt": "passage: ",
    }


@pytest.mark.parametrize(
    ("name", "dim", "given", "widths"),
    [
        ("text-embedding-3-large", 3072, None, (256, 1024, 3072)),
        ("text-embedding-3-large", 1024, None, (256, 1024)),
        ("text-embedding-3-large", 3072, (), ()),
        ("text-embedding-3-large", 3072, (512, 128), (128, 512)),
        ("mixedbread-ai/mxbai-embed-large-v1", 1024, None, (512, 1024)),
        ("their-model", 64, None, ()),
        ("their-model", 64, [16], (16,)),
    ],
)
def test_widths_are_those_given_or_those_known_of_the_name(name, dim, given, widths):
    encoder = ForeignEncoder(name, list, list, dim=dim, matryoshka=given)
    assert encoder.matryoshka == widths


def test_widths_beyond_the_vectors_are_refused():
    with pytest.raises(ConfigError, match="expected widths from 1 to 4"):
        _ = giving([[1.0]], dim=4, matryoshka=(2, 8)).matryoshka


@pytest.mark.parametrize("name", ["", "  "])
def test_a_name_is_needed(name):
    with pytest.raises(ConfigError, match="name is empty"):
        from_pymilvus(DenseFunction(), name=name)


def test_an_index_with_a_leg_of_each_kind(tmp_path):
    config = Config(legs=(DenseLeg(), SparseLeg(model="splade-v3"), Bm25Leg()), rerank=())
    both = from_pymilvus(BothFunction(), name="both")
    encoders = {"dense": both, "sparse": both}
    with RagIndex.open(tmp_path / "a.db", config=config, encoders=encoders) as index:
        index.add([index.passage(text) for text in ("the red pump", "the valve", "a filter filter")])
        hits = index.search("filter", k=1, explain=True)
        assert hits[0].passage.llm_text == "a filter filter"
        assert {stage.stage: stage.rank for stage in hits[0].trace if stage.kind == "leg"} == {
            "dense": 1,
            "sparse": 1,
            "bm25": 1,
        }
        assert hits[0].terms["sparse"] == ()
    other = from_pymilvus(BothFunction(), name="another")
    with pytest.raises(CollectionMismatch, match="another"):
        RagIndex.open(tmp_path / "a.db", config=config, encoders={"dense": other, "sparse": other})


def test_a_collection_knows_its_width(tmp_path):
    config = Config(legs=(DenseLeg(),), rerank=())
    narrow, wide = (from_pymilvus(DenseFunction(*more), name="counts") for more in ((), ("blue",)))
    with RagIndex.open(tmp_path / "a.db", config=config, encoders={"dense": narrow}) as index:
        index.add([index.passage("a pump")])
    with pytest.raises(CollectionMismatch):
        RagIndex.open(tmp_path / "a.db", config=config, encoders={"dense": wide})
