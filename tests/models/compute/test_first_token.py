"""The last layer for the first token alone gives what the whole layer gives, and leaves others alone."""

import copy

import pytest
import torch
import transformers

from rag_plugins.models.compute.first_token import read_first_token_only
from rag_plugins.models.compute.rule import Choice
from rag_plugins.models.compute.run import accelerate

SIZES = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 40,
    "initializer_range": 0.5,  # Large, so that different texts get clearly different scores.
    "num_labels": 2,
}
KINDS = ("Bert", "Roberta", "XLMRoberta", "Electra", "Camembert", "Ernie")
OTHERS = ("DebertaV2", "ModernBert", "MPNet")


def make(kind, **settings):
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**SIZES | settings)
    model = getattr(transformers, f"{kind}ForSequenceClassification")(config).eval()
    with torch.no_grad():  # They begin as zeros and ones, which a mistake could hide behind.
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter) * 0.3)
    return model


def texts(lengths, width, padding, seed=1):
    ids = torch.randint(5, 60, (len(lengths), width), generator=torch.Generator().manual_seed(seed))
    mask = torch.arange(width) < torch.tensor(lengths)[:, None]
    return {"input_ids": ids.masked_fill(~mask, padding), "attention_mask": mask.long()}


def logits(model, inputs):
    with torch.inference_mode():
        return model(**inputs).logits


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_scores_with_padding_and_without(kind, attention):
    # In float64: some random layers make much of fp32's rounding, on either side.
    full = make(kind, attn_implementation=attention).double()
    ours = copy.deepcopy(full)
    assert read_first_token_only(ours)
    for lengths, width in (([20, 11, 2], 20), ([9, 9], 9), ([1], 1)):
        inputs = texts(lengths, width, full.config.pad_token_id)
        assert torch.allclose(logits(ours, inputs), logits(full, inputs), atol=1e-9, rtol=0)
        del inputs["attention_mask"]
        inputs["input_ids"] = inputs["input_ids"].clamp(min=5)
        assert torch.allclose(logits(ours, inputs), logits(full, inputs), atol=1e-9, rtol=0)
    assert logits(full, texts([20, 11, 2], 20, full.config.pad_token_id)).std() > 0.1


def test_the_last_layer_has_one_row_and_those_before_it_all():
    model = make("Bert")
    read_first_token_only(model)
    with torch.inference_mode():
        states = model(**texts([12, 7], 12, 0), output_hidden_states=True).hidden_states
    assert [state.shape[1] for state in states] == [12, 12, 1]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_scores_in_single_precision(kind):
    full = make(kind, initializer_range=0.1)
    ours = copy.deepcopy(full)
    assert read_first_token_only(ours)
    inputs = texts([20, 11, 2], 20, full.config.pad_token_id)
    assert torch.allclose(logits(ours, inputs), logits(full, inputs), atol=1e-5, rtol=0)


def test_a_batch_is_as_its_texts_are_alone():
    model = make("XLMRoberta")
    assert read_first_token_only(model)
    together = logits(model, texts([12, 5], 12, 1))
    alone = logits(model, {name: value[1:, :5] for name, value in texts([12, 5], 12, 1).items()})
    assert torch.allclose(together[1:], alone, atol=1e-5, rtol=0)


def test_half_precision():
    full = make("Bert").bfloat16()
    ours = copy.deepcopy(full)
    assert read_first_token_only(ours)
    inputs = texts([20, 11], 20, 0)
    exact = logits(make("Bert"), inputs)
    mistake = (logits(ours, inputs).float() - exact).abs().max()
    assert mistake < 2 * (logits(full, inputs).float() - exact).abs().max() + 0.02


def test_a_model_made_narrower_afterwards():
    ours, full = make("Bert"), make("Bert").bfloat16()
    assert read_first_token_only(ours)
    inputs = texts([20, 11], 20, 0)
    assert torch.allclose(logits(ours.bfloat16(), inputs), logits(full, inputs), atol=0.1, rtol=0)


@pytest.mark.parametrize("kind", OTHERS)
def test_other_architectures_stay_as_they_are(kind):
    settings = {"global_attn_every_n_layers": 1} if kind == "ModernBert" else {}
    model = make(kind, pad_token_id=0, **settings)
    inputs = texts([20, 11], 20, 0)
    before = logits(model, inputs)
    assert not read_first_token_only(model)
    assert torch.equal(logits(model, inputs), before)
    assert not any("forward" in vars(module) for module in model.modules())


def test_a_head_that_reads_more_is_found_out():
    class Mean(torch.nn.Module):
        def __init__(self, classifier):
            super().__init__()
            self.classifier = classifier

        def forward(self, states):
            return self.classifier(states.mean(dim=1, keepdim=True))

    model = make("Electra")
    model.classifier = Mean(model.classifier)
    inputs = texts([20, 11], 20, 0)
    before = logits(model, inputs)
    assert not read_first_token_only(model)
    assert torch.equal(logits(model, inputs), before)


def test_a_class_of_ones_own_stays_as_it_is():
    class BertForSequenceClassification(transformers.BertForSequenceClassification):
        pass

    model = BertForSequenceClassification(make("Bert").config)
    assert not read_first_token_only(model)


def test_a_decoder_stays_as_it_is():
    assert not read_first_token_only(make("Bert", is_decoder=True))


def test_it_runs_on_openvino_at_any_batch_and_length():
    full = make("Roberta")
    ours = copy.deepcopy(full)
    assert read_first_token_only(ours)
    choice = Choice("openvino", "fp32", "cpu", 1024, "the test says so")
    assert accelerate(ours, choice, "first token") == choice
    for lengths, width in (([20, 11, 2], 20), ([3], 3)):
        inputs = texts(lengths, width, 1)
        assert torch.allclose(logits(ours, inputs), logits(full, inputs), atol=1e-4, rtol=0)
