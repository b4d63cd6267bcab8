"""What settings and model make of a funnel, before any passage is there."""

from random import Random

import pytest
from funnel_support import WordEncoder

from rag_plugins.config import DenseLeg
from rag_plugins.errors import ConfigError
from rag_plugins.funnel import Funnel
from rag_plugins.ingest.prefixes import named_funnel, served, server_widths
from rag_plugins.ingest.sampling import sentence

PLAIN = WordEncoder()
TRAINED = WordEncoder((96, 192, 384))


@pytest.mark.parametrize("setting", ["auto", "off"])
def test_what_is_no_funnel_names_none(setting):
    assert named_funnel(DenseLeg(funnel=setting), PLAIN) is None


def test_stages_are_used_as_given():
    funnel = Funnel([(96, 200), (384,)])
    assert named_funnel(DenseLeg(funnel=funnel), PLAIN) == funnel
    assert named_funnel(DenseLeg(funnel=funnel), TRAINED) == funnel
    assert named_funnel(DenseLeg(funnel="halving"), PLAIN) == Funnel.halving(384)


def test_halving_uses_what_a_model_was_trained_for():
    assert named_funnel(DenseLeg(funnel="halving"), TRAINED) == Funnel([(96, 512), (192, 256), (384,)])


@pytest.mark.parametrize(
    ("fields", "left"),
    [
        (None, [(48, 200), (96, 50), (384,)]),
        ((48, 96, 192), [(48, 200), (96, 50), (384,)]),
        ((48,), [(48, 200), (384,)]),
        ((24,), [(48, 200), (96, 50), (384,)]),  # The keeper refuses it, with the reason.
        ((), [(48, 200), (96, 50), (384,)]),
    ],
)
def test_stages_without_a_field_on_the_server_are_left_out(fields, left):
    assert served(Funnel([(48, 200), (96, 50), (384,)]), fields, 384) == Funnel(left)


def test_a_funnel_that_ends_in_a_prefix_is_never_made_wider():
    funnel = Funnel([(48, 200), (96,)])
    assert served(funnel, (48,), 384) == funnel


@pytest.mark.parametrize(
    ("settings", "model", "reasons"),
    [
        ({"funnel": [[48, 200], [384]]}, TRAINED, ["trained for prefixes of 96, 192", "not of 48", "probe"]),
        ({"funnel": [[96, 200], [384]], "rotation": "off"}, PLAIN, ["declares no prefixes", "probe"]),
        ({"funnel": [[96]], "rotation": "off"}, PLAIN, ["rag-plugins probe words", "matryoshka"]),
        ({"funnel": [[96, 200], [768]]}, PLAIN, ["gives 384 numbers"]),
    ],
)
def test_prefixes_that_the_vectors_do_not_have_are_refused_with_advice(settings, model, reasons):
    with pytest.raises(ConfigError) as error:
        named_funnel(DenseLeg(model="words", **settings), model)
    assert all(reason in str(error.value) for reason in ["leg dense", *reasons])


def test_all_numbers_of_any_model_are_no_prefix():
    assert named_funnel(DenseLeg(funnel=[[384]], rotation="off"), PLAIN) == Funnel([(384,)])


@pytest.mark.parametrize(
    ("funnel", "trained", "widths"),
    [
        ("off", (), ()),
        ("auto", (), (96,)),
        ("auto", (64, 128, 384), (64,)),
        ("auto", (16, 128, 384), (128,)),
        ("auto", (384,), (96,)),
        ("halving", (), (12, 24, 48, 96, 192)),
        ("halving", (96, 128, 192, 384), (96, 192)),
        (Funnel([(48, 200), (96, 50), (384,)]), (), (48, 96)),
    ],
)
def test_a_server_has_fields_for_the_widths_that_can_be_used(funnel, trained, widths):
    assert server_widths(funnel, 384, trained) == widths


def test_a_sentence_is_one_that_says_something():
    text = "Yes. The pump is bolted to the frame. No."
    assert {sentence(text, Random(n)) for n in range(20)} == {"The pump is bolted to the frame."}
    assert sentence("Yes.", Random(0)) == "Yes."
    assert len(sentence("word " * 1000, Random(0))) == 300
