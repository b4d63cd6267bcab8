"""Models with code of their own: it runs by permission at one commit, and never otherwise."""

import json
import math

import huggingface_hub.constants as hub
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tiny_models import make_tokenizer
from torch.nn import functional

from rag_plugins.config import ComputeConfig, Config, CrossEncoderConfig, DenseLeg
from rag_plugins.errors import ConfigError, ModelNotFound
from rag_plugins.models.dense import DenseEncoder
from rag_plugins.models.facts import Code
from rag_plugins.models.own_code import Permission, loadable
from rag_plugins.models.presets import DENSE_PRESETS
from rag_plugins.models.rerank.cross_encoder import CrossEncoderReranker
from rag_plugins.vectors import normalise

COMMIT = "0123456789" * 4
WIDTH, HEADS = 16, 2

CONFIGURATION = """
from transformers import PretrainedConfig

class OwnConfig(PretrainedConfig):
    model_type = "tiny-own"

    def __init__(self, vocab_size=8, hidden_size=4, **settings):
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        super().__init__(**settings)
"""

# Importing it leaves a file behind, and its vectors depend on a buffer that is not saved with the weights.
MODELLING = """
from pathlib import Path

import torch
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from .configuration_own import OwnConfig

Path({trace!r}).touch()

class OwnModel(PreTrainedModel):
    config_class = OwnConfig

    def __init__(self, config):
        super().__init__(config)
        self.words = torch.nn.Embedding(config.vocab_size, config.hidden_size)
        self.register_buffer("scale", 1.0 + torch.arange(config.hidden_size), persistent=False)
        self.post_init()

    def forward(self, input_ids, attention_mask=None, **_):
        return BaseModelOutput(last_hidden_state=self.words(input_ids) * self.scale)
"""


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """Where transformers puts code to import it: one folder, for Python remembers where it found it."""
    return str(tmp_path_factory.mktemp("imported"))


@pytest.fixture(autouse=True)
def nowhere(tmp_path, imported, monkeypatch):
    """Caches of these tests' own, and no network."""
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", imported)
    monkeypatch.syspath_prepend(imported)


@pytest.fixture
def trace(tmp_path):
    """What the code of the model leaves behind when it runs."""
    return tmp_path / "it-ran"


def write_code(folder, trace):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "configuration_own.py").write_text(CONFIGURATION)
    (folder / "modeling_own.py").write_text(MODELLING.format(trace=str(trace)))


def write_model(folder, repository):
    """Weights and configuration; the code is in `repository`, or "" for the folder itself."""
    folder.mkdir(parents=True)
    tokenizer = make_tokenizer()
    tokenizer.save_pretrained(folder)
    at = f"{repository}--" if repository else ""
    config = {
        "model_type": "tiny-own",
        "architectures": ["OwnModel"],
        "vocab_size": len(tokenizer),
        "hidden_size": 4,
        "auto_map": {
            "AutoConfig": f"{at}configuration_own.OwnConfig",
            "AutoModel": f"{at}modeling_own.OwnModel",
        },
    }
    (folder / "config.json").write_text(json.dumps(config))
    words = torch.randn(len(tokenizer), 4, generator=torch.Generator().manual_seed(1))
    save_file({"words.weight": words}, folder / "model.safetensors", metadata={"format": "pt"})
    return words


@pytest.fixture
def own_folder(tmp_path, trace):
    """A model with its code beside it."""
    words = write_model(tmp_path / "model", "")
    write_code(tmp_path / "model", trace)
    return tmp_path / "model", words


@pytest.fixture
def hub_code(tmp_path, trace):
    """A model whose code is in a repository of the hub, of which the cache has one commit."""
    words = write_model(tmp_path / "model", "someone/their-code")
    write_code(tmp_path / "hub" / "models--someone--their-code" / "snapshots" / COMMIT, trace)
    return tmp_path / "model", words


def expected(words, text):
    ids = make_tokenizer()(text)["input_ids"]
    return normalise((words[ids].numpy() * (1.0 + np.arange(4))).mean(axis=0))


def vector(**leg):
    return DenseEncoder(DenseLeg(**leg)).encode_queries(["the red pump"]).dense[0]


def revision_in(message):
    return message.split('code_revision = "')[1].split('"')[0]


def test_code_in_a_folder_runs_by_permission_and_by_its_digest(own_folder, trace):
    folder, words = own_folder
    refused = []
    for leg in ({}, {"allow_remote_code": True}, {"allow_remote_code": True, "code_revision": COMMIT}):
        with pytest.raises(
            ConfigError, match=r"code of its own \(in its folder\).*allow_remote_code = true"
        ) as caught:
            vector(model=str(folder), **leg)
        refused.append(revision_in(str(caught.value)))
    assert len(set(refused)) == 1 and not trace.exists()
    named = {"model": str(folder), "code_revision": refused[0]}
    with pytest.raises(ConfigError, match="got allow_remote_code = false"):
        vector(**named)
    assert not trace.exists()

    found = vector(**named, allow_remote_code=True)
    assert trace.exists()
    np.testing.assert_allclose(found, expected(words, "the red pump"), atol=1e-6)
    # The model of those who may run it is none for those who may not.
    with pytest.raises(ConfigError):
        vector(model=str(folder))


def test_code_that_was_changed_is_other_code(own_folder, trace):
    folder, _ = own_folder
    with pytest.raises(ConfigError) as caught:
        vector(model=str(folder), allow_remote_code=True)
    revision = revision_in(str(caught.value))
    (folder / "modeling_own.py").write_text(MODELLING.format(trace=str(trace)) + "# harmless\n")
    with pytest.raises(ConfigError, match=f"got allow_remote_code = true, code_revision = {revision}"):
        vector(model=str(folder), allow_remote_code=True, code_revision=revision)
    assert not trace.exists()


def test_pooling_of_the_callers_choice_is_no_way_round(own_folder, trace):
    folder, words = own_folder
    with pytest.raises(ConfigError) as caught:
        vector(model=str(folder), pooling="cls")
    assert not trace.exists()
    revision = revision_in(str(caught.value))
    first = vector(model=str(folder), pooling="cls", allow_remote_code=True, code_revision=revision)
    np.testing.assert_allclose(first, normalise(words[2].numpy() * (1.0 + np.arange(4))), atol=1e-6)


def test_code_on_the_hub_runs_at_the_commit_named(hub_code, trace):
    folder, words = hub_code
    with pytest.raises(ConfigError, match=r"\(someone/their-code\).*the commit that you have read"):
        vector(model=str(folder), allow_remote_code=True)
    with pytest.raises(ConfigError, match="got allow_remote_code = false"):
        vector(model=str(folder), code_revision=COMMIT)
    with pytest.raises(ModelNotFound, match=f"no code of someone/their-code at commit {'f' * 40}"):
        vector(model=str(folder), allow_remote_code=True, code_revision="f" * 40)
    assert not trace.exists()
    found = vector(model=str(folder), allow_remote_code=True, code_revision=COMMIT)
    assert trace.exists()
    np.testing.assert_allclose(found, expected(words, "the red pump"), atol=1e-6)


@pytest.mark.parametrize(
    ("preset", "runs"),
    [(Code("someone/their-code", COMMIT), True), (Code("someone/other-code", COMMIT), False), (None, False)],
)
def test_a_presets_commit_is_for_its_repository_alone(hub_code, preset, runs):
    folder, _ = hub_code
    permission = Permission(True, None, preset)
    if runs:
        with loadable(folder, permission) as source:
            assert source.code == f"someone/their-code, {COMMIT}"
            assert {file.name for file in source.path.glob("*.py")} == {
                "configuration_own.py",
                "modeling_own.py",
            }
    else:
        with pytest.raises(ConfigError, match="their-code"), loadable(folder, permission):
            pass


def test_nothing_is_left_of_what_was_put_together(hub_code):
    folder, _ = hub_code
    before = {file: file.read_bytes() for file in folder.iterdir()}
    with loadable(folder, Permission(True, COMMIT)) as source:
        assert source.path != folder
    assert not source.path.exists()
    assert {file: file.read_bytes() for file in folder.iterdir()} == before


def test_code_that_does_not_work_is_reported_with_its_name(own_folder):
    folder, _ = own_folder
    (folder / "modeling_own.py").write_text("raise AttributeError('no such thing here')")
    with pytest.raises(ConfigError) as caught:
        vector(model=str(folder))
    settings = {"allow_remote_code": True, "code_revision": revision_in(str(caught.value))}
    with pytest.raises(ConfigError, match="does not run: AttributeError: no such thing here"):
        vector(model=str(folder), **settings)


def test_a_module_of_ones_own_is_code_too(tiny_bert, tmp_path, trace):
    folder = tmp_path / "copy"
    folder.mkdir()
    for file in tiny_bert.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "modules.json").write_text(
        json.dumps([{"idx": 0, "name": "0", "path": "", "type": "modeling_own.OwnModel"}])
    )
    write_code(folder, trace)
    with pytest.raises(ConfigError, match="code of its own"):
        vector(model=str(folder))
    assert not trace.exists()


def test_code_in_a_part_of_the_model_is_refused_too(own_folder, tmp_path, trace):
    folder, _ = own_folder
    whole = tmp_path / "whole"
    whole.mkdir()
    folder.rename(whole / "0_Transformer")
    (whole / "modules.json").write_text(
        json.dumps(
            [
                {
                    "idx": 0,
                    "name": "0",
                    "path": "0_Transformer",
                    "type": "sentence_transformers.models.Transformer",
                }
            ]
        )
    )
    for leg in ({}, {"allow_remote_code": True, "code_revision": COMMIT}):
        with pytest.raises(ConfigError, match="a part of it is code of its own"):
            vector(model=str(whole), **leg)
    assert not trace.exists()


def test_code_that_is_not_needed_does_not_run(tiny_bert, tmp_path, trace):
    folder = tmp_path / "copy"
    folder.mkdir()
    for file in tiny_bert.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    write_code(folder, trace)
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "configuration_own.OwnConfig", "AutoModel": "modeling_own.OwnModel"}
    (folder / "config.json").write_text(json.dumps(config))
    native = vector(model=str(tiny_bert))
    for leg in ({}, {"allow_remote_code": True, "code_revision": COMMIT}):
        assert np.array_equal(vector(model=str(folder), **leg), native)
    assert not trace.exists()


@pytest.mark.parametrize("revision", ["main", "v1.0", "0123", "G" * 40])
def test_a_commit_is_a_commit(revision):
    with pytest.raises(ConfigError, match="code_revision"):
        Config.make({"legs": [{"kind": "dense", "code_revision": revision}]})


def test_a_mixture_of_experts_is_not_loaded_without_its_experts(tmp_path):
    config = {"model_type": "nomic_bert", "num_experts": 8}
    config["auto_map"] = {"AutoModel": "nomic-ai/nomic-bert-2048--modeling_hf_nomic_bert.NomicBertModel"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="nomic-ai/nomic-bert-2048"), loadable(tmp_path, Permission()):
        pass
    (tmp_path / "config.json").write_text(json.dumps({**config, "num_experts": 0}))
    with loadable(tmp_path, Permission()) as source:
        assert source.path == tmp_path and source.code is None


GTE = {
    "model_type": "new",
    "auto_map": {"AutoModel": "Alibaba-NLP/new-impl--modeling.NewModel"},
    "hidden_size": WIDTH,
    "num_attention_heads": HEADS,
    "num_hidden_layers": 2,
    "intermediate_size": 24,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "layer_norm_type": "layer_norm",
    "logn_attention_scale": False,
    "max_position_embeddings": 64,
    "pack_qkv": True,
    "pad_token_id": 0,
    "position_embedding_type": "rope",
    "rope_theta": 20000,
    "rope_scaling": {"type": "ntk", "factor": 8.0},
    "type_vocab_size": 1,
}


def gte_weights(words):
    """Random weights under the names that the GTE authors' own code gives them."""
    torch.manual_seed(3)
    shapes = {"embeddings.word_embeddings.weight": (words, WIDTH)}
    shapes["embeddings.token_type_embeddings.weight"] = (1, WIDTH)
    norms = ["embeddings.LayerNorm"]
    for n in range(GTE["num_hidden_layers"]):
        layer = f"encoder.layer.{n}"
        norms += [f"{layer}.attn_ln", f"{layer}.mlp_ln"]
        for name, rows, columns in (
            ("attention.qkv_proj", 3 * WIDTH, WIDTH),
            ("attention.o_proj", WIDTH, WIDTH),
            ("mlp.down_proj", WIDTH, GTE["intermediate_size"]),
        ):
            shapes |= {f"{layer}.{name}.weight": (rows, columns), f"{layer}.{name}.bias": (rows,)}
        shapes[f"{layer}.mlp.up_gate_proj.weight"] = (2 * GTE["intermediate_size"], WIDTH)
    shapes |= {f"{norm}.{part}": (WIDTH,) for norm in norms for part in ("weight", "bias")}
    return {name: 0.5 * torch.randn(shape) for name, shape in shapes.items()}


def gte_vector(weights, ids):
    """The first token's state, computed as mGTE's code does (arXiv:2407.19669): rotary, gated, post-norm."""

    def norm(states, name):
        return functional.layer_norm(
            states, (WIDTH,), weights[f"{name}.weight"], weights[f"{name}.bias"], 1e-12
        )

    def linear(states, name):
        return states @ weights[f"{name}.weight"].T + weights.get(f"{name}.bias", 0.0)

    head, factor = WIDTH // HEADS, GTE["rope_scaling"]["factor"]
    frequencies = (
        1.0 / (GTE["rope_theta"] * factor) ** (torch.arange(0, head, 2) / head) / factor ** (2 / head)
    )
    angles = torch.cat([torch.arange(len(ids))[:, None] * frequencies] * 2, dim=1)

    def rotated(states):
        left, right = states.chunk(2, dim=-1)
        return states * angles.cos() + torch.cat([-right, left], dim=-1) * angles.sin()

    embedded = (
        weights["embeddings.word_embeddings.weight"][ids] + weights["embeddings.token_type_embeddings.weight"]
    )
    states = norm(embedded, "embeddings.LayerNorm")
    for n in range(GTE["num_hidden_layers"]):
        layer = f"encoder.layer.{n}"
        query, key, value = (
            part.view(len(ids), HEADS, head).transpose(0, 1)
            for part in linear(states, f"{layer}.attention.qkv_proj").chunk(3, dim=-1)
        )
        shares = (rotated(query) @ rotated(key).transpose(1, 2) / math.sqrt(head)).softmax(dim=-1)
        mixed = (shares @ value).transpose(0, 1).reshape(len(ids), WIDTH)
        states = norm(states + linear(mixed, f"{layer}.attention.o_proj"), f"{layer}.attn_ln")
        up, gate = linear(states, f"{layer}.mlp.up_gate_proj").chunk(2, dim=-1)
        fed = linear(functional.gelu(gate) * up, f"{layer}.mlp.down_proj")
        states = norm(states + fed, f"{layer}.mlp_ln")
    return states[0].numpy()


@pytest.mark.parametrize("prefix", ["", "new."])
def test_weights_of_the_gte_authors_need_none_of_their_code(tmp_path, prefix):
    folder = tmp_path / "gte"
    folder.mkdir()
    tokenizer = make_tokenizer()
    tokenizer.save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps({**GTE, "vocab_size": len(tokenizer)}))
    weights = gte_weights(len(tokenizer))
    named = {prefix + name: tensor.contiguous() for name, tensor in weights.items()}
    save_file(named, folder / "model.safetensors", metadata={"format": "pt"})
    text = "the red pump is changed every month, the valve every month"
    found = DenseEncoder(DenseLeg(model=str(folder), pooling="cls")).encode_queries([text]).dense[0]
    np.testing.assert_allclose(found, normalise(gte_vector(weights, tokenizer(text)["input_ids"])), atol=1e-5)


def test_rerankers_of_the_gte_authors_need_none_of_it_either(tmp_path):
    tokenizer = make_tokenizer()
    tokenizer.save_pretrained(tmp_path)
    classes = {**GTE["auto_map"], "AutoModelForSequenceClassification": "Alibaba-NLP/new-impl--modeling.New"}
    made = {
        "architectures": ["NewForSequenceClassification"],
        "auto_map": classes,
        "id2label": {"0": "LABEL_0"},
    }
    (tmp_path / "config.json").write_text(json.dumps({**GTE, **made, "vocab_size": len(tokenizer)}))
    weights = gte_weights(len(tokenizer))
    head = {"new.pooler.dense.weight": (WIDTH, WIDTH), "new.pooler.dense.bias": (WIDTH,)}
    head |= {"classifier.weight": (1, WIDTH), "classifier.bias": (1,)}
    head = {name: torch.randn(shape) for name, shape in head.items()}
    named = {f"new.{name}": tensor.contiguous() for name, tensor in weights.items()} | head
    save_file(named, tmp_path / "model.safetensors", metadata={"format": "pt"})
    exact = ComputeConfig(backend="torch", precision="fp32")
    reranker = CrossEncoderReranker(CrossEncoderConfig(model=str(tmp_path)), exact)
    first = torch.from_numpy(gte_vector(weights, tokenizer("red pump", "the valve")["input_ids"]))
    pooled = torch.tanh(first @ head["new.pooler.dense.weight"].T + head["new.pooler.dense.bias"])
    expected = torch.sigmoid(pooled @ head["classifier.weight"].T + head["classifier.bias"])
    assert reranker.score_pairs([("red pump", "the valve")]) == pytest.approx(expected.numpy(), abs=1e-5)


@pytest.mark.parametrize(
    "change",
    [
        {"position_embedding_type": "absolute"},
        {"logn_attention_scale": True},
        {"rope_scaling": {"type": "ntk", "factor": 2.0, "mixed_b": 0.6}},
        {"layer_norm_type": "rms_norm"},
    ],
)
def test_other_weights_of_theirs_do(tmp_path, change):
    (tmp_path / "config.json").write_text(json.dumps({**GTE, **change}))
    with pytest.raises(ConfigError, match="Alibaba-NLP/new-impl"), loadable(tmp_path, Permission()):
        pass


def test_presets_name_whole_commits():
    with_code = {name: preset.code for name, preset in DENSE_PRESETS.items() if preset.code}
    assert set(with_code) == {"nomic-embed-text-v1", "nomic-embed-text-v1.5", "gte-multilingual-base"}
    for code in with_code.values():
        DenseLeg(code_revision=code.commit)
