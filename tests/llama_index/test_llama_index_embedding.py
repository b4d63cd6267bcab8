import math
import pickle

import pytest
from faces_support import watched
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.schema import TextNode

from rag_plugins import RagIndex
from rag_plugins.config import ComputeConfig
from rag_plugins.errors import ConfigError
from rag_plugins.llama_index import LegEmbedding, MatryoshkaEmbedding, RagVectorStore


def test_vectors_have_unit_length_and_single_equals_batch():
    model = MatryoshkaEmbedding()
    cat, tax = model.get_text_embedding_batch(["a cat", "income tax"])

    assert math.isclose(sum(x * x for x in cat), 1.0, rel_tol=1e-5)
    assert model.get_text_embedding("a cat") == pytest.approx(cat, abs=1e-5)
    query = model.get_query_embedding("kitten")
    assert model.similarity(query, cat) > model.similarity(query, tax)
    assert isinstance(query[0], float)


async def test_async_gives_the_same_and_lets_the_loop_run():
    model = MatryoshkaEmbedding()
    texts = ["a somewhat longer text about cats " * 20] * 8
    expected = model.get_text_embedding_batch(texts)
    vectors, stood_still = await watched(model.aget_text_embedding_batch(texts))

    assert vectors[0] == pytest.approx(expected[0], abs=1e-5)
    assert stood_still < 0.25
    assert await model.aget_query_embedding("x") == pytest.approx(model.get_query_embedding("x"), abs=1e-5)


def test_settings_survive_serialisation():
    model = MatryoshkaEmbedding("snowflake-arctic-embed-m-v1.5", dimensions=256, embed_batch_size=7)
    again = MatryoshkaEmbedding.from_dict(model.to_dict())

    assert (again.model_name, again.dimensions, again.embed_batch_size) == (
        "snowflake-arctic-embed-m-v1.5",
        256,
        7,
    )
    assert MatryoshkaEmbedding.from_json(model.to_json()).to_dict() == model.to_dict()


def test_widths_that_the_caller_declares_survive_serialisation_too():
    model = MatryoshkaEmbedding(dimensions=96, matryoshka=(96, 192))
    again = MatryoshkaEmbedding.from_json(model.to_json())
    assert again.matryoshka == (96, 192)
    assert again.get_query_embedding("a cat") == model.get_query_embedding("a cat")
    assert len(again.get_query_embedding("a cat")) == 96


def test_what_it_runs_on_is_a_setting_like_the_others():
    model = MatryoshkaEmbedding(compute=ComputeConfig(backend="torch", precision="fp32"))
    again = MatryoshkaEmbedding.from_json(model.to_json())
    assert again.compute == model.compute
    assert again.get_query_embedding("a cat") == pytest.approx(model.get_query_embedding("a cat"), abs=1e-6)


@pytest.mark.parametrize("compute", [{"backend": "abacus"}, {"precision": "int8", "backend": "torch"}])
def test_what_it_cannot_run_on_is_refused(compute):
    with pytest.raises(ConfigError, match="backend"):
        MatryoshkaEmbedding(compute=compute).get_query_embedding("a cat")


def test_cutting_a_model_that_declares_no_widths_is_refused_with_advice():
    with pytest.raises(ConfigError, match="e5-small-v2.*declares no.*choose a model"):
        MatryoshkaEmbedding("e5-small-v2", dimensions=64)


def test_the_shipped_model_is_cut_to_any_width():
    model = MatryoshkaEmbedding(dimensions=48)
    again = MatryoshkaEmbedding.from_json(model.to_json())
    cat, tax = again.get_text_embedding_batch(["a cat", "income tax"])
    kitten = model.get_query_embedding("a kitten")
    assert len(cat) == len(kitten) == 48
    assert sum(number * number for number in kitten) == pytest.approx(1.0, abs=1e-5)
    near, far = (sum(a * b for a, b in zip(kitten, other, strict=True)) for other in (cat, tax))
    assert near > far + 0.2


def test_a_transform_that_sets_the_embeddings_of_nodes_and_reports_them():
    debug = LlamaDebugHandler(print_trace_on_end=False)
    [node] = MatryoshkaEmbedding(callback_manager=CallbackManager([debug]))([TextNode(text="x")])

    assert len(node.embedding) == 384
    assert len(debug.get_event_pairs(CBEventType.EMBEDDING)) == 1


async def test_the_model_of_an_open_index(tmp_path):
    with RagIndex.open(tmp_path / "own.db") as index:
        model, same = RagVectorStore(index).embed_model, MatryoshkaEmbedding()
        assert isinstance(model, LegEmbedding) and model.model_name == "all-MiniLM-L6-v2"
        assert model.get_text_embedding_batch(["a cat"])[0] == pytest.approx(
            same.get_text_embedding("a cat"), abs=1e-5
        )
        assert await model.aget_query_embedding("cat") == pytest.approx(
            same.get_query_embedding("cat"), abs=1e-5
        )
        with pytest.raises(ConfigError, match=r"MatryoshkaEmbedding\('all-MiniLM-L6-v2'\)"):
            pickle.dumps(model)
