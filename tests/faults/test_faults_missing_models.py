"""Models that are not there, or not whole: errors say what is missing, where it was sought, a way out."""

import pickle
import shutil
import sys
from pathlib import Path

import huggingface_hub.constants as hub
import pytest

sys.path.append(str(Path(__file__).parents[1] / "models"))
from tiny_models import save_bert, save_m3  # noqa: E402

from rag_plugins.config import CrossEncoderConfig, DenseLeg, ImageLeg, PageTokensLeg, SparseLeg  # noqa: E402
from rag_plugins.errors import ConfigError, ModelNotFound  # noqa: E402
from rag_plugins.models.dense import DenseEncoder  # noqa: E402
from rag_plugins.models.m3 import M3Encoder  # noqa: E402
from rag_plugins.models.rerank.cross_encoder import CrossEncoderReranker  # noqa: E402
from rag_plugins.models.sparse import SparseEncoder  # noqa: E402
from rag_plugins.models.visual.page_tokens import PageTokensEncoder  # noqa: E402
from rag_plugins.models.visual.single import ImageModelEncoder  # noqa: E402


def dense(model):
    return DenseEncoder(DenseLeg(model=model)).encode_queries(["pump"])


def splade(model):
    return SparseEncoder(SparseLeg(model=model)).encode_queries(["pump"])


def m3(model):
    return M3Encoder(model).encode_queries(["pump"])


def clip(model):
    return ImageModelEncoder(ImageLeg(model=model)).encode_queries(["pump"])


def pages(model):
    return PageTokensEncoder(PageTokensLeg(model=model)).encode_queries(["pump"])


def cross_encoder(model):
    return CrossEncoderReranker(CrossEncoderConfig(model=model)).score_pairs([("pump", "valve")])


FAMILIES = {
    "multi-qa-MiniLM-L6-cos-v1": (dense, "sentence-transformers/multi-qa-MiniLM-L6-cos-v1", []),
    "granite-embedding-30m-sparse": (splade, "ibm-granite/granite-embedding-30m-sparse", []),
    "bge-m3": (m3, "BAAI/bge-m3", ["colbert_linear.pt", "sparse_linear.pt", "pytorch_model.bin"]),
    "clip-ViT-B-32": (clip, "sentence-transformers/clip-ViT-B-32", []),
    "someone/col-pages": (pages, "someone/col-pages", []),
    "ms-marco-MiniLM-L-6-v2": (cross_encoder, "cross-encoder/ms-marco-MiniLM-L-6-v2", []),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_model_of_the_hub_that_is_missing(name, tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path / "cache"))
    ask, id, pickles = FAMILIES[name]
    with pytest.raises(ModelNotFound) as caught:
        ask(name)
    told = str(caught.value)
    assert f"no weights for {id!r}" in told
    assert "the Hugging Face cache (" in told and "the hub (" in told
    assert f"hf download {id} --local-dir {id.split('/')[1]}" in told and "'*.safetensors'" in told
    assert all(f"'{name}'" in told for name in pickles)
    assert f'set model = "/…/{id.split("/")[1]}"' in told
    assert str(tmp_path / "cache") in told


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return save_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    return save_bert(tmp_path_factory.mktemp("judge"), labels=1)


@pytest.fixture(scope="module")
def heads(tmp_path_factory):
    return save_m3(tmp_path_factory.mktemp("heads"))


def without(folder, tmp_path, *patterns):
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    for pattern in patterns:
        for file in copy.rglob(pattern):
            file.unlink()
    return copy


@pytest.fixture(params=["dense", "splade", "clip", "pages", "cross_encoder"])
def family(request, bert, judge):
    ask = globals()[request.param]
    return ask, judge if ask is cross_encoder else bert


def test_a_folder_without_weights(family, tmp_path):
    ask, folder = family
    copy = without(folder, tmp_path, "*.safetensors")
    with pytest.raises(ModelNotFound) as caught:
        ask(str(copy))
    assert f"no .safetensors in {copy}, and pickles are not loaded" in str(caught.value)
    assert "A folder of a model has '*.json' '*.safetensors'" in str(caught.value)


class Trap:
    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


def test_a_pickle_in_place_of_safetensors_is_refused_and_not_run(family, tmp_path):
    ask, folder = family
    copy, trace = without(folder, tmp_path, "*.safetensors"), tmp_path / "trace"
    (copy / "pytorch_model.bin").write_bytes(pickle.dumps({"a": Trap(trace)}))
    with pytest.raises(ModelNotFound, match="pickles are not loaded"):
        ask(str(copy))
    assert not trace.exists()


def test_weights_cut_short(family, tmp_path):
    """The dense legs' raised whatever safetensors does."""
    ask, folder = family
    copy = without(folder, tmp_path)
    for file in copy.rglob("*.safetensors"):
        file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ConfigError, match=str(copy)):
        ask(str(copy))


def test_a_folder_without_its_configuration(family, tmp_path):
    ask, folder = family
    copy = without(folder, tmp_path, "config.json")
    with pytest.raises(ConfigError, match=str(copy)):
        ask(str(copy))


def test_a_folder_without_its_tokenizer(family, tmp_path):
    """transformers makes one of special tokens alone, with which all texts were the same, silently."""
    ask, folder = family
    copy = without(folder, tmp_path, "tokenizer*", "vocab*")
    with pytest.raises(ConfigError, match=str(copy)):
        ask(str(copy))


def test_heads_that_are_missing_are_named(heads, tmp_path):
    copy = without(heads, tmp_path, "sparse_linear.*")
    with pytest.raises(ModelNotFound) as caught:
        m3(str(copy))
    assert f"no sparse_linear.pt in {copy}" in str(caught.value)


def test_a_head_that_runs_code_is_refused(heads, tmp_path):
    copy, trace = without(heads, tmp_path, "sparse_linear.*"), tmp_path / "trace"
    (copy / "sparse_linear.pt").write_bytes(pickle.dumps({"weight": Trap(trace)}))
    with pytest.raises(ConfigError, match=r"sparse_linear\.pt: expected tensors by name"):
        m3(str(copy))
    assert not trace.exists()
