"""Converted models that stay on disk: found again, or converted again, whatever became of them."""

import os
import subprocess
import sys
import textwrap
import time

import pytest
import torch
import transformers

from rag_plugins.models.compute import convert, kept
from rag_plugins.models.compute.rule import Choice
from rag_plugins.models.compute.run import accelerate

CHOICE = Choice("openvino", "fp32", "cpu", 1024, "the test says so")
IDS = torch.tensor([[5, 9, 7], [4, 8, 6]])


def make(seed=0, **settings):
    torch.manual_seed(seed)
    sizes = {"vocab_size": 30, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.BertConfig(**sizes, intermediate_size=16, max_position_embeddings=40, **settings)
    return transformers.BertModel(config).eval()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    folder = tmp_path / "cache" / "converted"
    monkeypatch.setattr(kept, "folder", lambda: folder)
    return folder


@pytest.fixture
def conversions(monkeypatch):
    """One for each model that was converted."""
    made, traced = [], convert._traced
    monkeypatch.setattr(convert, "_traced", lambda *given: made.append(1) or traced(*given))
    return made


def runs(model, variant=""):
    """Whether it runs on OpenVINO as it did on torch."""
    with torch.inference_mode():
        expected = model(input_ids=IDS).last_hidden_state
        choice = accelerate(model, CHOICE, variant)
        got = model(input_ids=IDS).last_hidden_state
    return choice == CHOICE and torch.allclose(got, expected, atol=1e-4)


def test_a_model_is_converted_once(folder, conversions):
    assert runs(make()) and runs(make())
    assert len(conversions) == 1
    assert [sorted(file.name for file in place.iterdir()) for place in folder.iterdir()] == [
        ["model.bin", "model.xml"]
    ]


def test_a_model_is_known_wherever_it_lies(folder, conversions, tmp_path):
    for name in ("one", "other"):
        make().save_pretrained(tmp_path / name)
        assert runs(transformers.BertModel.from_pretrained(tmp_path / name).eval())
    assert len(conversions) == 1


def test_another_model_is_another(folder, conversions):
    others = [make(), make(1), make(hidden_act="relu"), make(layer_norm_eps=0.1)]
    assert all(map(runs, others)) and runs(make(), "changed")
    assert len(conversions) == len(list(folder.iterdir())) == 5


def test_where_nothing_can_be_written_nothing_is_kept(folder, conversions):
    folder.parent.write_text("no folder")
    assert runs(make()) and runs(make())
    assert len(conversions) == 2


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("model.bin", lambda content: content[: len(content) // 2]),
        ("model.bin", lambda content: bytes(len(content))),
        ("model.xml", lambda content: b""),
        ("model.xml", lambda content: content[: len(content) // 2]),
    ],
)
def test_a_damaged_one_is_converted_again(folder, conversions, name, damage):
    assert runs(make())
    (place,) = folder.iterdir()
    (place / name).write_bytes(damage((place / name).read_bytes()))
    assert runs(make()) and runs(make())
    assert len(conversions) == 2


def test_one_that_differs_from_torch_is_not_kept(folder, monkeypatch):
    monkeypatch.setitem(convert._TOLERANCE, "fp32", 1e-12)
    assert accelerate(make(), CHOICE).backend == "torch"
    assert list(folder.iterdir()) == []


def test_another_process_may_be_first(folder, conversions, monkeypatch):
    read, first = kept.Kept.read, []
    monkeypatch.setattr(kept.Kept, "read", lambda self: read(self) if first else first.append(self))
    assert runs(make())
    first.clear()
    assert runs(make())
    assert len(conversions) == 2 and len(list(folder.iterdir())) == 1


def test_what_nobody_loads_for_a_month_is_deleted(folder):
    assert runs(make()) and runs(make(1))
    one, other = folder.iterdir()
    (folder / "new-left-behind").mkdir()
    for place in folder.iterdir():
        os.utime(place, (0, time.time() - 31 * 24 * 3600))
    assert all(runs(make(seed)) for seed in (0, 1))  # Loading counts.
    assert runs(make(2))
    assert {one, other} < set(folder.iterdir()) and not (folder / "new-left-behind").exists()


def test_it_lies_in_the_users_cache_and_nobody_is_told(tmp_path):
    """In a process of its own: OpenVINO would send an event when it is imported, and write into the home."""
    home, cache = tmp_path / "home", tmp_path / "cache"
    home.mkdir()
    script = """
        import sys
        from rag_plugins.models.compute.rule import Choice
        from rag_plugins.models.compute.run import accelerate
        import transformers
        config = transformers.BertConfig(
            vocab_size=30, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
        )
        choice = accelerate(transformers.BertModel(config).eval(), Choice("openvino", "fp32", "cpu", 1, ""))
        assert choice.backend == "openvino", choice
        assert "openvino_telemetry" not in sys.modules
    """
    environment = {**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(cache)}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert len(list((cache / "rag-plugins" / "openvino").iterdir())) == 1
    assert not (home / "intel").exists()
