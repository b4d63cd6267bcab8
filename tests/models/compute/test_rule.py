"""What models run on, by the facts of a machine and by what settings ask for."""

import re

import pytest
import torch

from rag_plugins.config import ComputeConfig
from rag_plugins.errors import ConfigError, MissingExtra
from rag_plugins.models.compute import rule
from rag_plugins.models.compute.rule import RULE, choose, cores, processor

BF16 = frozenset({"avx2", "avx512_bf16"})
PLAIN = frozenset({"avx2"})


@pytest.fixture
def machine(monkeypatch):
    """Makes this one have an accelerator or none, some features of a processor, OpenVINO or not."""

    def make(*, features=BF16, openvino=True, device="cpu"):
        monkeypatch.setattr(rule, "processor", lambda: features)
        monkeypatch.setattr(rule, "find_spec", lambda name: name if openvino else None)
        monkeypatch.setattr(rule, "best_device", lambda: device)

    return make


@pytest.fixture
def card(monkeypatch):
    def make(*, bf16):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bf16)

    return make


@pytest.mark.parametrize(
    ("features", "openvino", "asked", "given", "why"),
    [
        (BF16, True, {}, ("openvino", "bf16"), r"the processor has bf16 \(avx512_bf16\)"),
        (BF16 | {"amx_bf16"}, True, {}, ("openvino", "bf16"), r"\(amx_bf16, avx512_bf16\)"),
        (PLAIN, True, {}, ("openvino", "fp32"), "lists no bf16"),
        (BF16, False, {}, ("torch", "fp32"), "OpenVINO is not installed, and fp32 loses nothing"),
        (BF16, True, {"backend": "torch"}, ("torch", "fp32"), "torch was asked for"),
        (BF16, True, {"precision": "fp32"}, ("openvino", "fp32"), "fp32 was asked for"),
        (BF16, False, {"precision": "bf16"}, ("torch", "bf16"), "bf16 was asked for"),
        (BF16, True, {"backend": "torch", "precision": "bf16"}, ("torch", "bf16"), "bf16 was asked for"),
        (PLAIN, True, {"precision": "int8"}, ("openvino", "int8"), "int8 was asked for"),
    ],
)
def test_on_a_processor(machine, features, openvino, asked, given, why):
    machine(features=features, openvino=openvino)
    choice = choose(ComputeConfig(**asked), None)
    assert (choice.backend, choice.precision, choice.device, choice.budget) == (*given, "cpu", 1024)
    assert re.search(why, str(choice))


def test_on_a_card(machine, card):
    machine(device="cuda")
    card(bf16=True)
    choice = choose(ComputeConfig(), None)
    assert (choice.backend, choice.precision, choice.device) == ("torch", "bf16", "cuda")
    assert choice.budget > 1024
    assert choose(ComputeConfig(), "cuda:1").device == "cuda:1"
    card(bf16=False)
    assert choose(ComputeConfig(), None).precision == "fp32"
    assert choose(ComputeConfig(), "cpu").backend == "openvino"


def test_on_another_accelerator(machine):
    machine(device="mps")
    choice = choose(ComputeConfig(), None)
    assert (choice.backend, choice.precision, choice.device) == ("torch", "fp32", "mps")


@pytest.mark.parametrize(
    ("facts", "asked", "device", "error", "message"),
    [
        ({"features": PLAIN}, {"precision": "bf16"}, None, ConfigError, "lists no bf16.*fp32"),
        ({}, {"precision": "int8", "backend": "torch"}, None, ConfigError, 'got backend = "torch" on cpu'),
        ({}, {"precision": "int8"}, "mps", ConfigError, "on mps"),
        ({}, {"backend": "openvino"}, "mps", ConfigError, "got the device mps"),
        ({}, {"precision": "bf16"}, "mps", ConfigError, "mps was found"),
        ({}, {}, "cuda", ConfigError, "torch finds no such card"),
        ({"openvino": False}, {"backend": "openvino"}, None, MissingExtra, r"rag-plugins\[openvino\]"),
        ({"openvino": False}, {"precision": "int8"}, None, MissingExtra, r"rag-plugins\[openvino\]"),
    ],
)
def test_what_is_asked_and_cannot_be_had(machine, monkeypatch, facts, asked, device, error, message):
    machine(**facts)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(error, match=message):
        choose(ComputeConfig(**asked), device)


def test_bf16_on_a_card_without(machine, card):
    machine(device="cuda")
    card(bf16=False)
    with pytest.raises(ConfigError, match="the card has no bf16"):
        choose(ComputeConfig(precision="bf16"), None)


@pytest.fixture
def facts(monkeypatch, tmp_path):
    """Writes what the system says of its processor."""
    file = tmp_path / "cpuinfo"
    monkeypatch.setattr(rule, "_CPUINFO", file)
    processor.cache_clear()
    yield file
    processor.cache_clear()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx2 amx_bf16\n\nprocessor\t: 1\nflags : fpu\n", {"amx_bf16"}),
        ("processor\t: 0\nFeatures\t: fp asimd bf16\n", {"bf16"}),
        ("processor\t: 0\n", set()),
    ],
)
def test_a_processor_as_linux_lists_it(facts, text, found):
    facts.write_text(text)
    assert processor() & {"amx_bf16", "bf16", "flags"} == found


def test_a_processor_as_torch_knows_it(facts, monkeypatch):
    known = {"avx512_bf16": True, "amx_bf16": False, "cpu_name": "name"}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known, raising=False)
    assert processor() == {"avx512_bf16"}


def test_an_unknown_processor(facts, monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert processor() == frozenset()


@pytest.mark.parametrize(
    ("text", "found"),
    [("siblings\t: 32\ncpu cores\t: 16\n", 4), ("siblings : 4\ncpu cores : 4\n", 8), ("model : x\n", 8)],
)
def test_threads_of_one_core_count_once(facts, monkeypatch, text, found):
    facts.write_text(text)
    monkeypatch.setattr(rule.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert cores() == found


def test_cores_where_linux_does_not_say(facts, monkeypatch):
    monkeypatch.delattr(rule.os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(rule.os, "cpu_count", lambda: None)
    assert cores() == 1


def test_the_rule_can_be_printed():
    assert {backend for _, backend, _ in RULE} == {"openvino", "torch"}
