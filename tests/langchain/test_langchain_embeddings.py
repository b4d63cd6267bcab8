import math

import pytest

from rag_plugins.config import ComputeConfig
from rag_plugins.errors import ConfigError
from rag_plugins.langchain import MatryoshkaEmbeddings


def test_vectors_have_unit_length_and_texts_close_in_meaning_are_close():
    model = MatryoshkaEmbeddings()
    cat, kitten, tax = model.embed_documents(["a cat", "a kitten", "income tax"])

    def similarity(left, right):
        return sum(a * b for a, b in zip(left, right, strict=True))

    assert math.isclose(similarity(cat, cat), 1.0, rel_tol=1e-5)
    assert similarity(model.embed_query("cat"), kitten) > similarity(model.embed_query("cat"), tax)
    assert model.embed_documents([]) == []


def test_cutting_a_model_that_declares_no_widths_is_refused_with_advice():
    with pytest.raises(ConfigError, match="e5-small-v2.*declares no.*choose a model"):
        MatryoshkaEmbeddings("e5-small-v2", dimensions=64)


@pytest.mark.parametrize("width", [24, 96])
def test_the_shipped_model_is_cut_to_any_width(width):
    model = MatryoshkaEmbeddings("all-MiniLM-L6-v2", dimensions=width)
    cat, tax = model.embed_documents(["a cat", "income tax"])
    kitten = model.embed_query("a kitten")
    assert len(cat) == len(kitten) == width
    assert math.isclose(sum(number * number for number in kitten), 1.0, rel_tol=1e-5)
    near, far = (sum(a * b for a, b in zip(kitten, other, strict=True)) for other in (cat, tax))
    assert near > far + 0.2


def test_the_full_width_is_no_cut():
    assert len(MatryoshkaEmbeddings("all-MiniLM-L6-v2", dimensions=384).embed_query("x")) == 384


def test_a_width_that_the_model_does_not_declare_is_refused_with_those_it_does():
    with pytest.raises(ConfigError, match="100.*256, 768"):
        MatryoshkaEmbeddings("snowflake-arctic-embed-m-v1.5", dimensions=100)


def test_widths_that_the_caller_declares():
    whole, cut = MatryoshkaEmbeddings(), MatryoshkaEmbeddings(dimensions=96, matryoshka=(96, 192))
    prefix = whole.embed_query("a cat")[:96]
    length = math.sqrt(sum(number * number for number in prefix))
    assert cut.embed_query("a cat") == pytest.approx([number / length for number in prefix], abs=1e-6)
    assert len(cut.embed_documents(["a cat"])[0]) == 96


@pytest.mark.chosen
def test_what_it_runs_on_changes_no_vector():
    torch, openvino = (
        MatryoshkaEmbeddings(compute=ComputeConfig(backend=backend, precision="fp32")).embed_query("a cat")
        for backend in ("torch", "openvino")
    )
    assert openvino == pytest.approx(torch, abs=1e-4)
    assert openvino != torch


def test_what_it_cannot_run_on_is_refused():
    model = MatryoshkaEmbeddings(compute=ComputeConfig(backend="torch", precision="int8"))
    with pytest.raises(ConfigError, match="int8.*backend"):
        model.embed_query("a cat")


@pytest.mark.parametrize("settings", [{"dimensions": 0}, {"matryoshka": (0,)}, {"code_revision": "main"}])
def test_impossible_settings_are_refused(settings):
    with pytest.raises(ConfigError):
        MatryoshkaEmbeddings(**settings)
