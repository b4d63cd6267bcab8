"""Forward passes that were replaced give what torch gives, or stay torch's."""

import copy
import gc
import logging
import re
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import transformers

from rag_plugins.errors import BadInput
from rag_plugins.models.compute import convert
from rag_plugins.models.compute.rule import Choice
from rag_plugins.models.compute.run import accelerate

SIZES = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 200,
    "initializer_range": 0.2,
    "pad_token_id": 0,
}
LOCAL = {"local_attention": 8, "global_attn_every_n_layers": 2, "num_hidden_layers": 3}
MARKERS = {"bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}
GROUPED = {"num_key_value_heads": 2, "head_dim": 8}


def make(kind="Bert", part="Model", **settings):
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**SIZES | settings)
    return getattr(transformers, f"{kind}{part}")(config).eval()


def on(backend, precision):
    return Choice(backend, precision, "cpu", 1024, "the test says so")


def texts(lengths, *, left=False, seed=1):
    ids = torch.randint(3, 60, (len(lengths), max(lengths)), generator=torch.Generator().manual_seed(seed))
    places = torch.arange(max(lengths))
    own = torch.tensor(lengths)[:, None]
    mask = (places >= max(lengths) - own) if left else (places < own)
    return {"input_ids": ids * mask, "attention_mask": mask.long()}


def run(model, features):
    with torch.inference_mode():
        output = model(**features)
    return output["last_hidden_state"][features["attention_mask"].bool()]


def cosine(ours, theirs):
    return torch.nn.functional.cosine_similarity(ours, theirs, dim=-1).min().item()


@pytest.mark.parametrize(
    ("kind", "settings"), [("Bert", {}), ("ModernBert", LOCAL | MARKERS), ("Qwen3", GROUPED)]
)
def test_openvino_gives_what_torch_gives(kind, settings):
    theirs = make(kind, **settings)
    ours = copy.deepcopy(theirs)
    assert accelerate(ours, on("openvino", "fp32")) == on("openvino", "fp32")
    # Much padding: a token that sees nothing but padding, in windows of 8 for one, must not spoil the others.
    for lengths in ([1], [5, 5], [40, 3, 17], [190, 2]):
        for left in (False, True):
            features = texts(lengths, left=left)
            states = run(ours, features)
            assert states.dtype == torch.float32
            assert (states - run(theirs, features)).abs().max() < 1e-4


def test_what_is_not_given_is_as_torch_has_it():
    theirs = make(type_vocab_size=2)
    ours = copy.deepcopy(theirs)
    accelerate(ours, on("openvino", "fp32"))
    ids = texts([6, 6])["input_ids"]
    types = torch.tensor([[0, 0, 0, 1, 1, 1]] * 2)
    for features in ({}, {"token_type_ids": types}, {"attention_mask": None, "return_dict": True}):
        with torch.inference_mode():
            pair = [model(input_ids=ids, **features).last_hidden_state for model in (ours, theirs)]
        assert torch.allclose(*pair, atol=1e-5)
    with pytest.raises(BadInput, match="position_ids"):
        ours(input_ids=ids, position_ids=torch.zeros_like(ids))


@pytest.mark.parametrize(
    ("backend", "precision", "least", "most"),
    [("openvino", "bf16", 0.9995, 1e-4), ("openvino", "int8", 0.99, 1e-4), ("torch", "bf16", 0.9995, 1e-4)],
)
def test_narrower_numbers_give_nearly_what_torch_gives(backend, precision, least, most):
    # Of 32 numbers OpenVINO's int8 kernels make nonsense on some processors (AMX), which is seen and refused.
    theirs = make(initializer_range=0.1, hidden_size=64)
    ours = copy.deepcopy(theirs)
    assert accelerate(ours, on(backend, precision)).precision == precision
    states, expected = (run(model, texts([40, 3, 17])) for model in (ours, theirs))
    assert states.dtype == torch.float32
    assert cosine(states, expected) > least
    assert (states - expected).abs().max() > most  # They are narrower indeed.


def test_a_score_for_each_text_has_no_narrower_weights_of_its_own():
    theirs = make(part="ForSequenceClassification", num_labels=1, initializer_range=0.1)
    ours = copy.deepcopy(theirs)
    accelerate(ours, on("openvino", "int8"))
    features = texts([40, 3, 17])
    with torch.inference_mode():
        assert (ours(**features).logits - theirs(**features).logits).abs().max() < 0.05


def test_rotary_frequencies_stay_exact_in_bf16():
    model = make("Qwen3", **GROUPED)
    frequencies = model.rotary_emb.inv_freq.clone()
    accelerate(model, on("torch", "bf16"))
    assert torch.equal(model.rotary_emb.inv_freq, frequencies)
    assert model.embed_tokens.weight.dtype == torch.bfloat16


def test_torch_in_fp32_is_left_as_it_is():
    model = make()
    assert accelerate(model, on("torch", "fp32")) == on("torch", "fp32")
    assert "forward" not in vars(model)


def test_threads_work_side_by_side():
    theirs = make()
    ours = copy.deepcopy(theirs)
    accelerate(ours, on("openvino", "fp32"))
    batches = [texts([n % 7 + 1, 30 - n], seed=n) for n in range(24)]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda features: run(ours, features), batches))
    for features, states in zip(batches, results, strict=True):
        assert torch.allclose(states, run(theirs, features), atol=1e-4)


def test_outputs_stay_when_the_model_goes_on():
    model = make()
    accelerate(model, on("openvino", "fp32"))
    first = run(model, texts([9]))
    kept = first.clone()
    run(model, texts([9], seed=2))
    assert torch.equal(first, kept)


def test_weights_are_freed_and_the_model_with_all_it_has():
    model = make()
    weights = weakref.ref(model.embeddings.word_embeddings.weight.data.untyped_storage())
    accelerate(model, on("openvino", "fp32"))
    assert sum(parameter.numel() for parameter in model.parameters()) == 0
    assert weights() is None and model.device.type == "cpu"
    runs = weakref.ref(model.forward)
    del model
    gc.collect()
    assert runs() is None


def falls_back(model, caplog):
    """What it runs on instead, with torch's weights still there; the log has the reason."""
    features = texts([5, 3])
    expected = run(model, features)
    caplog.clear()
    with caplog.at_level(logging.WARNING, "rag_plugins"):
        given = accelerate(model, on("openvino", "bf16"))
    assert given.why in caplog.text
    assert torch.allclose(run(model, features), expected, atol=1e-4)
    return given


class OwnCode(transformers.BertModel):
    """Not of transformers."""


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"output_hidden_states": True}, "more than its last states"),
        ({"rope_parameters": {"rope_type": "dynamic"}}, r"rotary positions \(dynamic\)"),
    ],
)
def test_configurations_that_stay_on_torch(caplog, change, reason):
    model = make()
    for name, value in change.items():
        setattr(model.config, name, value)
    choice = falls_back(model, caplog)
    assert (choice.backend, choice.precision, choice.budget) == ("torch", "fp32", 1024)
    assert re.search(reason, choice.why)


def test_code_of_its_own_stays_on_torch(caplog):
    choice = falls_back(OwnCode(make().config).eval(), caplog)
    assert choice.backend == "torch" and "code of its own" in choice.why


def test_a_trace_that_took_a_length_for_a_constant_is_found_out(caplog):
    model = make(initializer_range=0.3)
    embed = model.embeddings.forward
    # What a trace sees of the number is not where it came from.
    model.embeddings.forward = lambda **given: embed(**given).roll(len(given["input_ids"].tolist()[0]), -1)
    choice = falls_back(model, caplog)
    assert choice.backend == "torch" and "at 9 tokens its outputs are off by" in choice.why


def test_what_bf16_would_change_too_much_runs_in_fp32(monkeypatch, caplog):
    monkeypatch.setitem(convert._TOLERANCE, "bf16", 1e-6)
    model = make()
    features = texts([5, 3])
    expected = run(model, features)
    choice = accelerate(model, on("openvino", "bf16"))
    assert (choice.backend, choice.precision) == ("openvino", "fp32") and "bf16: at 9 tokens" in choice.why
    assert torch.allclose(run(model, features), expected, atol=1e-4)


def test_what_reads_images_stays_on_torch(caplog):
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = transformers.CLIPConfig(
        text_config=sizes | {"vocab_size": 60},
        vision_config=sizes | {"image_size": 8, "patch_size": 4},
    )
    choice = accelerate(transformers.CLIPModel(config).eval(), on("openvino", "bf16"))
    assert choice.backend == "torch" and "more than text" in choice.why


def test_without_a_transformer_there_is_nothing_to_replace():
    choice = accelerate(torch.nn.Sequential(torch.nn.Linear(2, 2)), on("openvino", "bf16"))
    assert (choice.backend, choice.precision) == ("torch", "fp32")
