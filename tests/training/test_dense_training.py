"""Bi-encoders: each loss is learned, prefixes get better, and Matryoshka-CoSENT is its formula."""

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from training_support import DEV, GRADED, bert, dense, learns, trained

from rag_plugins.config import DenseLeg
from rag_plugins.config.training import DenseTraining
from rag_plugins.errors import BadInput
from rag_plugins.funnel import Funnel, Stage
from rag_plugins.training.dense import halvings, trained_widths
from rag_plugins.training.figures import by_width


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A plain masked-LM checkpoint."""
    return bert(tmp_path_factory.mktemp("models") / "masked-lm", "MaskedLM")


def test_prefixes_of_a_plain_masked_lm_beat_the_untrained_ones(base, tmp_path):
    opened = dense(base, negatives=0)
    model, _, job = opened
    assert model[1].pooling_mode == "mean" and list(job.rows) == ["query", "positive"]
    before = by_width(model, DEV, (4, 8, 16))
    model, outcome = trained(opened, tmp_path)
    after = by_width(model, DEV, (4, 8, 16))
    assert learns(outcome) and outcome.after > outcome.before
    assert all(after[width] > before[width] + 0.05 for width in after), (before, after)


def test_a_bi_encoder_goes_on_as_it_is_and_is_saved_as_one(base, tmp_path):
    encoder = Transformer(str(base))
    SentenceTransformer(modules=[encoder, Pooling(64, pooling_mode="cls")]).save_pretrained(
        str(tmp_path / "cls")
    )
    opened = dense(tmp_path / "cls", loss="margin-mse")
    model, outcome = trained(opened, tmp_path / "run")
    assert learns(outcome) and list(tmp_path.joinpath("run").iterdir()) == []
    model.save_pretrained(str(tmp_path / "run"))
    served = SentenceTransformer(str(tmp_path / "run"))
    assert served[1].pooling_mode == "cls"
    assert model.max_seq_length == served.max_seq_length == 64  # Read were 32, and only in training.
    assert np.allclose(served.encode(["red pump"]), model.encode(["red pump"]), atol=1e-6)


def test_graded_pairs_are_learned(base, tmp_path):
    opened = dense(base, GRADED, GRADED[:81], loss="cosent", epochs=3, batch=27, learning_rate=1e-3)
    _, outcome = trained(opened, tmp_path)
    assert outcome.measure == "spearman"
    assert learns(outcome) and outcome.after > outcome.before + 0.1


def test_early_layers_are_learned(base, tmp_path):
    _, outcome = trained(dense(base, layers=True), tmp_path)
    assert learns(outcome)


def test_matryoshka_cosent_is_the_formula(base):
    pairs = [GRADED[n] for n in (0, 1, 4, 30, 77)]
    model, settings, job = dense(base, pairs, pairs, loss="cosent", widths=(4, 16), scale=7.0)
    features = [model.preprocess([text for text in job.rows[name]]) for name in ("query", "positive")]
    grades = job.rows["label"]
    with torch.no_grad():
        got = job.loss(features, torch.tensor(grades))
    q, p = (model.encode(job.rows[name]) for name in ("query", "positive"))
    assert len({*grades}) > 1 and settings.scale == 7.0
    expected = 0.0
    for width in (4, 16, 64):
        a, b = q[:, :width], p[:, :width]
        cos = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
        terms = [
            np.exp(7.0 * (cos[j] - cos[i]))
            for i, high in enumerate(grades)
            for j, low in enumerate(grades)
            if high > low
        ]
        expected += np.log(1 + sum(terms))
    assert float(got) == pytest.approx(expected, rel=1e-4)


def test_matryoshka_ranking_is_cross_entropy_over_the_batch_at_each_width(base):
    model, _, job = dense(base, negatives=1, widths=(8,))
    rows = {name: column[:4] for name, column in job.rows.items()}
    features = [model.preprocess(column) for column in rows.values()]
    with torch.no_grad():
        got = float(job.loss(features, None))
    q, *texts = (model.encode(column) for column in rows.values())
    expected = 0.0
    for width in (8, 64):
        a, b = (
            x[:, :width] / np.linalg.norm(x[:, :width], axis=1)[:, None] for x in (q, np.concatenate(texts))
        )
        scores = 20.0 * a @ b.T
        expected += np.mean([np.log(np.exp(row).sum()) - row[n] for n, row in enumerate(scores)])
    assert list(rows) == ["query", "positive", "negative_1"]
    assert got == pytest.approx(expected, rel=1e-4)


def test_widths_are_those_set_then_those_of_the_funnel_then_halves():
    leg = DenseLeg(funnel=Funnel((Stage(24, 50), Stage(96))))
    assert halvings(384) == (384, 192, 96, 48, 24, 12) and halvings(36) == (36, 18, 9)
    assert trained_widths(DenseTraining(), None, 64) == (64, 32, 16, 8, 4, 2)
    assert trained_widths(DenseTraining(), leg, 384) == (384, 96, 24)
    assert trained_widths(DenseTraining(widths=(8, 24)), leg, 384) == (384, 24, 8)
    with pytest.raises(BadInput, match=r"\[100\]: the model's vectors have 64"):
        trained_widths(DenseTraining(widths=(100, 8)), None, 64)


def test_grades_that_are_all_alike_are_refused(base):
    alike = [pair for pair in GRADED if pair.score == 1.0]
    with pytest.raises(BadInput, match="two different scores"):
        dense(base, GRADED, alike, loss="cosent")
    with pytest.raises(BadInput, match="a score, how similar"):
        dense(base, DEV, GRADED, loss="cosent")
