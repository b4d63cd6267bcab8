"""Cross-encoders: each loss is learned, with all weights and with adapters, which are merged in the end."""

import json

import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder
from training_support import DEV, TRAIN, bert, learns, reranker, trained

from rag_plugins.config.training import DenseTraining, RerankTraining
from rag_plugins.errors import BadInput
from rag_plugins.training.columns import labelled, listed
from rag_plugins.training.pairs import Pair
from rag_plugins.training.rerankers import merged
from rag_plugins.training.running import _trainer

ASKED = [("red pump", pair.positive) for pair in DEV]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return bert(tmp_path_factory.mktemp("models") / "plain")


@pytest.mark.parametrize("lora", [None, 4])
@pytest.mark.parametrize("loss", ["bce", "listwise", "margin-mse"])
def test_each_loss_is_learned_and_an_ordinary_cross_encoder_is_saved(base, tmp_path, loss, lora):
    opened = reranker(base, loss=loss, lora=lora, epochs=2)
    opened[0].eval()
    start = {name: tensor.clone() for name, tensor in opened[0].state_dict().items()}
    model, outcome = trained(opened, tmp_path / "run")
    assert learns(outcome)
    expected = model.predict(ASKED)
    merged(model).save_pretrained(str(tmp_path / "saved"))
    assert "adapter_config.json" not in {path.name for path in (tmp_path / "saved").iterdir()}
    assert np.allclose(model.predict(ASKED), expected, atol=1e-5)
    served = CrossEncoder(str(tmp_path / "saved"))
    assert np.allclose(served.predict(ASKED), expected, atol=1e-5) and np.std(expected) > 1e-4
    assert not any("lora" in name or "modules_to_save" in name for name in model.state_dict())
    assert all(parameter.requires_grad for parameter in model.parameters())
    if lora:
        frozen = [name for name in start if "embeddings" in name or "original_module" in name]
        state = model.state_dict()
        assert frozen and all(torch.equal(start[name], state[name]) for name in frozen if name in state)


def test_adapters_learn_faster_unless_their_rate_is_given(base, tmp_path):
    assert (DenseTraining().rate, RerankTraining().rate, RerankTraining(lora=4).rate) == (2e-5, 2e-5, 1e-3)
    given = RerankTraining(lora=4, learning_rate=2e-5)
    assert given.rate == 2e-5
    assert RerankTraining.model_validate(given.model_dump(exclude_defaults=True)) == given
    _, settings, job = reranker(base, lora=4, learning_rate=None)
    assert _trainer(job, settings, tmp_path).args.learning_rate == 1e-3


def test_a_trained_reranker_can_be_trained_on(base, tmp_path):
    model, _ = trained(reranker(base, lora=2, epochs=1), tmp_path / "run")
    merged(model).save_pretrained(str(tmp_path / "saved"))
    again, _, _ = reranker(tmp_path / "saved", lora=4)
    assert np.allclose(again.predict(ASKED), model.predict(ASKED), atol=1e-5)
    config = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert config["architectures"] == ["BertForSequenceClassification"]


def test_each_passage_is_labelled():
    pair = Pair("q", "yes", ("no", "neither", "nor"))
    assert labelled([pair], 2) == {
        "query": ["q", "q", "q"],
        "passage": ["yes", "no", "neither"],
        "label": [1.0, 0.0, 0.0],
    }


def test_the_softmax_of_a_lists_labels_is_nearly_all_the_positives(base):
    _, _, job = reranker(base, loss="listwise", negatives=4)
    row = np.exp(job.rows["labels"][0])
    assert len(row) == 5 and row[0] / row.sum() > 0.99
    made = listed([Pair("q", "yes", ("no",))], 4, 10.0)
    assert made == {"query": ["q"], "passages": [["yes", "no"]], "labels": [[10.0, 0.0]]}


def test_margins_are_the_teachers(base):
    model, _, job = reranker(base, loss="margin-mse", negatives=2)
    assert job.rows["label"][0] == [2.0, 2.0]
    rows = [job.rows[name][:3] for name in ("query", "positive", "negative_1", "negative_2")]
    model.eval()
    with torch.no_grad():
        got = float(job.loss(rows, torch.tensor(job.rows["label"][:3])))
    query, *texts = rows
    scores = [
        model.predict(list(zip(query, text, strict=True)), activation_fn=torch.nn.Identity())
        for text in texts
    ]
    margins = np.stack([scores[0] - scores[1], scores[0] - scores[2]])
    assert got == pytest.approx(np.mean((margins - 2.0) ** 2), rel=1e-4)


def test_pairs_without_negatives_are_refused_and_those_measured_by_get_others(base):
    bare = [Pair(pair.query, pair.positive) for pair in DEV]
    with pytest.raises(BadInput, match="give negatives, or mine"):
        reranker(base, bare)
    model, _, job = reranker(base, TRAIN, bare)
    assert job.evaluator(model)["dev_ndcg@10"] < 1.0
    with pytest.raises(BadInput, match="measured by has no passage"):
        reranker(base, TRAIN, bare[:1])
    with pytest.raises(BadInput, match="no pair has so many"):
        reranker(base, loss="margin-mse", negatives=9)
