import pytest
from faces_support import watched
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from pydantic import PrivateAttr
from sparse_support import by_hand, inner, tiny_splade

from rag_plugins.config import ComputeConfig, SparseLeg
from rag_plugins.errors import ConfigError, UnknownPreset
from rag_plugins.llama_index import SparseEmbedding

TEXTS = ["change the filter.", "the red lamp", "fill the tank"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_splade(tmp_path_factory.mktemp("tiny-splade"))


@pytest.fixture(scope="module")
def model(folder):
    return SparseEmbedding(str(folder), embed_batch_size=2)


def test_weights_are_those_of_the_formula(folder, model):
    expected = [by_hand(folder, text) for text in TEXTS]
    assert model.get_query_embedding("red pump") == pytest.approx(by_hand(folder, "red pump"), abs=1e-5)
    assert model.get_text_embedding(TEXTS[0]) == pytest.approx(expected[0], abs=1e-5)
    for weights, by_formula in zip(model.get_text_embedding_batch(TEXTS), expected, strict=True):
        assert weights == pytest.approx(by_formula, abs=1e-5)


async def test_asynchronous_calls_give_the_same_and_leave_the_loop_free(model):
    query, longest = await watched(model.aget_query_embedding("red pump"))
    assert query == model.get_query_embedding("red pump")
    assert await model.aget_text_embedding(TEXTS[0]) == pytest.approx(model.get_text_embedding(TEXTS[0]))
    for mine, other in zip(
        await model.aget_text_embedding_batch(TEXTS), model.get_text_embedding_batch(TEXTS), strict=True
    ):
        assert mine == pytest.approx(other, abs=1e-5)
    assert longest < 0.5


def test_the_frameworks_similarity_is_that_of_the_weights(folder, model):
    left, right = (by_hand(folder, text) for text in TEXTS[:2])
    cosine = inner(left, right) / (inner(left, left) * inner(right, right)) ** 0.5
    given = model.similarity(*model.get_text_embedding_batch(TEXTS[:2]))
    assert given == pytest.approx(cosine, rel=1e-3)


def test_it_survives_serialisation(folder):
    model = SparseEmbedding(
        str(folder), query_terms=2, max_length=16, compute=ComputeConfig(backend="torch", precision="fp32")
    )
    dumped = model.model_dump()
    again = SparseEmbedding.model_validate(dumped)
    assert dumped["class_name"] == "SparseEmbedding"
    assert again.model_dump() == dumped
    assert again.get_query_embedding("red pump") == model.get_query_embedding("red pump")
    assert len(again.get_query_embedding("red pump")) == 2


def test_settings_are_those_of_a_sparse_leg(folder):
    for name in ("query_terms", "document_terms", "max_length", "device"):
        assert SparseEmbedding.model_fields[name].default == SparseLeg.model_fields[name].default
    with pytest.raises(ConfigError, match="document_terms"):
        SparseEmbedding(str(folder), document_terms=0)
    with pytest.raises(ConfigError, match="embed_batch_size"):
        SparseEmbedding(str(folder), embed_batch_size=0)
    with pytest.raises(UnknownPreset, match="splade-v3"):
        SparseEmbedding("splade")


class Events(BaseEventHandler):
    _seen: list = PrivateAttr(default_factory=list)

    def handle(self, event, **_):
        self._seen.append(event)


def test_the_frameworks_events_are_sent(model):
    events, dispatcher = Events(), get_dispatcher()
    dispatcher.add_event_handler(events)
    try:
        model.get_text_embedding_batch(TEXTS)
    finally:
        dispatcher.event_handlers.remove(events)
    names = [type(event).__name__ for event in events._seen]
    assert names == ["SparseEmbeddingStartEvent", "SparseEmbeddingEndEvent"] * 2
    assert [chunk for event in events._seen[1::2] for chunk in event.chunks] == TEXTS
