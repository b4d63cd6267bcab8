import gc
import weakref

import pytest

from rag_plugins import Config, RagIndex
from rag_plugins.config import CrossEncoderConfig, DenseLeg
from rag_plugins.models import sharing
from rag_plugins.models.dense import DenseEncoder


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """Models that other tests still hold are none of those here."""
    monkeypatch.setattr(sharing, "_slots", weakref.WeakValueDictionary())


def trunk_of(encoder):
    return weakref.ref(encoder._trunk)


def freed(model):
    gc.collect()
    return model() is None


def test_a_closed_index_has_let_go_of_its_models(tmp_path):
    index = RagIndex.open(tmp_path / "one.db")
    index.add([index.passage("the pump is changed every month")])
    assert index.search("pump")
    model = trunk_of(index.parts.legs[0].encoder)
    other = RagIndex.open(tmp_path / "two.db")
    other.add([other.passage("the valve is red")])
    index.close()
    assert not freed(model)  # The other one has it as well.
    assert other.search("valve")
    other.close()
    assert freed(model)


def test_an_encoder_that_was_given_stays_its_owners(tmp_path):
    encoder = DenseEncoder(DenseLeg())
    with RagIndex.open(tmp_path / "own.db", encoders={"dense": encoder}) as index:
        index.add([index.passage("the pump")])
    model = trunk_of(encoder)
    assert not freed(model)
    encoder.release()
    assert freed(model)


def test_what_models_run_on_is_the_configurations(tmp_path):
    config = Config.make(
        {"compute": {"backend": "torch", "precision": "fp32"}, "rerank": [{"kind": "cross-encoder"}]}
    )
    with RagIndex.open(tmp_path / "exact.db", config=config) as index:
        choice = index.parts.legs[0].encoder.choice
        assert (choice.backend, choice.precision) == ("torch", "fp32")
    assert config.rerank == (CrossEncoderConfig(),)
