"""Runs: they go on where they were stopped, end early, repeat by their seed, and leave nothing behind."""

from dataclasses import replace
from shutil import copytree

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from training_support import DEV, TRAIN, bert, dense, reranker, sparse, trained
from transformers import TrainerCallback

from rag_plugins.errors import BadInput
from rag_plugins.training.running import run, seconds_a_step, steps


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return bert(tmp_path_factory.mktemp("models") / "masked-lm", "MaskedLM")


class Steps(TrainerCallback):
    """Counts the steps of this process, and fails after `last`."""

    def __init__(self, last=None):
        self.count, self.last = 0, last

    def on_step_begin(self, args, state, control, **others):
        if state.global_step == self.last:
            raise KeyboardInterrupt
        self.count += 1


def counted(opened, into, last=None):
    model, settings, job = opened
    callback = Steps(last)
    outcome = run(replace(job, callbacks=[*job.callbacks, callback]), settings, into)
    return model, outcome, callback.count


def same(one, other):
    other = other.state_dict()
    return all(torch.allclose(tensor, other[name], atol=1e-6) for name, tensor in one.state_dict().items())


OPEN = {
    "dense": lambda base, **options: dense(base, negatives=0, **options),
    "inference-free": lambda base, **options: sparse(
        base, form="inference-free", regulariser_warmup=0.2, **options
    ),
    "lora": lambda base, **options: reranker(base, loss="listwise", lora=2, **options),
}


@pytest.mark.parametrize("kind", OPEN)
def test_a_stopped_run_goes_on_and_ends_as_if_it_had_not_been(base, tmp_path, kind):
    def opened(**options):
        return OPEN[kind](base, **{"epochs": 4, "evaluations": 4, **options})

    whole, expected, count = counted(opened(), tmp_path / "whole")
    assert count == expected.steps == steps(opened()[1], 27) == 12
    with pytest.raises(KeyboardInterrupt):
        counted(opened(), tmp_path / "run", last=7)
    # A checkpoint that was being written then has no state yet.
    (tmp_path / "run" / "checkpoints" / "checkpoint-7").mkdir()
    with pytest.raises(BadInput, match="unfinished run of another model, other settings"):
        counted(opened(learning_rate=1e-5), tmp_path / "run")
    model, outcome, count = counted(opened(), tmp_path / "run")
    assert count == 12 - 6 and outcome.steps == 12
    assert same(model, whole)
    assert (outcome.before, outcome.after) == pytest.approx((expected.before, expected.after))
    assert [at.step for at in outcome.history] == [at.step for at in expected.history]
    assert list((tmp_path / "run").iterdir()) == []


@pytest.mark.parametrize("kind", OPEN)
def test_a_stopped_run_goes_on_where_its_model_lies_elsewhere_by_now(base, tmp_path, kind):
    there, here = copytree(base, tmp_path / "there"), tmp_path / "here"
    options = {"epochs": 2, "evaluations": 2}
    with pytest.raises(KeyboardInterrupt):
        counted(OPEN[kind](there, **options), tmp_path / "run", last=4)
    there.rename(here)
    _, outcome, count = counted(OPEN[kind](here, **options), tmp_path / "run")
    assert count == outcome.steps - 3 == 3


def test_other_pairs_and_other_models_are_other_runs(base, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        counted(dense(base), tmp_path / "run", last=12)
    with pytest.raises(BadInput, match="other pairs"):
        counted(dense(base, TRAIN[1:]), tmp_path / "run")
    with pytest.raises(BadInput, match="another model"):
        counted(reranker(base), tmp_path / "run")


def test_a_run_without_gain_ends_early_and_keeps_the_best(base, tmp_path):
    opened = dense(base, learning_rate=1e-12, evaluations=8, patience=2)
    model, outcome = trained(opened, tmp_path)
    total = steps(opened[1], len(TRAIN))
    assert outcome.steps == 3 * total // 8 < total
    assert (
        outcome.after
        == pytest.approx(max(at.value for at in outcome.history))
        == pytest.approx(outcome.before)
    )


class Scripted:
    """Measures as written, and keeps the weights that it was shown."""

    def __init__(self, measure, values):
        self.measure, self.values, self.shown = measure, list(values), []

    def __call__(self, model):
        self.shown.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        return {f"dev_{self.measure}": self.values[len(self.shown) - 1]}


@pytest.mark.parametrize("kind", OPEN)
def test_the_weights_that_were_best_are_kept(base, tmp_path, kind):
    model, settings, job = OPEN[kind](base, epochs=4, evaluations=4, max_length=16)
    values = [0.9, 0.3, 0.7, 0.2, 0.1, 0.7] if kind != "inference-free" else [0.9, 0.2, 0.7, 0.3, 0.1, 0.7]
    scripted = Scripted(job.measure, values)
    outcome = run(replace(job, evaluator=scripted), settings, tmp_path)
    assert (outcome.before, outcome.after) == (0.9, 0.7) and len(outcome.history) == 4
    best, last = scripted.shown[2], scripted.shown[4]
    # The head as it was before training, which an adapter stands in for, is not saved.
    kept = {name: tensor for name, tensor in model.state_dict().items() if "original_module" not in name}
    assert all(torch.equal(best[name], tensor) for name, tensor in kept.items())
    assert not all(torch.equal(best[name], last[name]) for name in kept)


def test_a_seed_gives_the_same_weights_again(base, tmp_path):
    models = [
        trained(reranker(base, loss="listwise", epochs=1, evaluations=1, seed=seed), tmp_path / str(n))[0]
        for n, seed in enumerate((3, 3, 4))
    ]
    assert same(models[0], models[1]) and not same(models[0], models[2])


def test_timing_a_step_leaves_model_and_folder_as_they_are(base, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for model, settings, job in (dense(base), sparse(base, form="inference-free"), reranker(base, lora=2)):
        start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        assert 0 < seconds_a_step(job, settings) < 10
        assert all(torch.equal(start[name], tensor) for name, tensor in model.state_dict().items())
        assert all(p.grad is None or not p.grad.any() for p in model.parameters())
        assert model.max_seq_length == 64 and list(tmp_path.iterdir()) == []


def test_a_run_prints_nothing_and_shows_the_time_left_where_it_is_asked_to(base, tmp_path, capfd):
    model, settings, job = dense(base, epochs=1)
    capfd.readouterr()
    run(job, settings, tmp_path / "one")
    out, err = capfd.readouterr()
    assert out == "" and "it/s" not in err and "step" not in err
    run(job, settings, tmp_path / "two", progress=True)
    out, err = capfd.readouterr()
    assert out == "" and "Training: 100%" in err and "3/3" in err and "nDCG@10=" in err


def test_half_precision_is_of_the_training_alone(base, tmp_path):
    model, outcome = trained(dense(base, precision="bf16", epochs=1), tmp_path / "run")
    assert outcome.steps == 3 and {p.dtype for p in model.parameters()} == {torch.float32}
    model.save_pretrained(str(tmp_path / "saved"))
    served = SentenceTransformer(str(tmp_path / "saved"))
    texts = [pair.positive for pair in DEV]
    assert np.allclose(served.encode(texts), model.encode(texts), atol=1e-5)


def test_steps_are_of_whole_batches_and_parts_of_epochs(base):
    _, settings, _ = dense(base, epochs=1.5, batch=10)
    assert steps(settings, 27) == 5 and steps(settings, 1) == 2
    _, settings, _ = dense(base, epochs=0.01)
    assert steps(settings, 27) == 1


def test_a_run_of_one_step_is_measured(base, tmp_path):
    _, outcome = trained(dense(base, epochs=0.01, evaluations=5), tmp_path)
    assert outcome.steps == 1 and [at.step for at in outcome.history] == [1]
    assert outcome.history[0].loss > 0
