"""A training run: sentence-transformers' trainers with one set of arguments, a dev part, and early stopping.

Checkpoints lie in `FOLDER/checkpoints` until it is done, so that a run that was stopped goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import time
import warnings
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

from tqdm import tqdm

from rag_plugins.config.training import DenseTraining, Precision, RerankTraining, SparseTraining
from rag_plugins.errors import BadInput, require
from rag_plugins.models.backend import quiet, readable_length

__all__ = ["Job", "Outcome", "Progress", "Settings", "begin", "run", "seconds_a_step", "steps"]

Settings: TypeAlias = DenseTraining | SparseTraining | RerankTraining

_CHECKPOINTS = "checkpoints"
_SETTINGS = "training.json"
_TIMED = 3


@dataclass(frozen=True, slots=True)
class Job:
    """What a trainer needs: a model, rows by column, a loss, what measures it on the dev part, and how.

    `trainer` and `arguments` are sentence-transformers' classes; `options` go to the latter.
    """

    model: Any
    trainer: Any
    arguments: Any
    rows: Mapping[str, Sequence[Any]]
    loss: Any
    evaluator: Any
    measure: str
    options: Mapping[str, Any]
    callbacks: Sequence[Any] = ()


@dataclass(frozen=True, slots=True)
class Progress:
    """The dev part at a step: the loss since the last time, and the measure."""

    step: int
    loss: float | None
    value: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to: the dev measure before, at its best on the way (which was kept), and each time.

    `seconds` are of this process: a run that went on from a checkpoint took longer in all.
    """

    measure: str
    before: float
    after: float
    history: tuple[Progress, ...]
    steps: int
    seconds: float


def begin(settings: Settings) -> None:
    """Set the seeds: what a checkpoint lacks, a head for one, starts at random."""
    require("transformers", "training").set_seed(settings.seed)


def steps(settings: Settings, pairs: int) -> int:
    """Of the whole run."""
    return max(1, math.ceil(settings.epochs * math.ceil(pairs / settings.batch)))


def seconds_a_step(job: Job, settings: Settings) -> float:
    """Measured: forwards and backwards over a few batches, on a model that stays as it is."""
    torch: Any = require("torch", "training")
    times: list[float] = []
    with TemporaryDirectory() as folder, quiet(), _reading(job.model, settings.max_length):
        trainer = _trainer(job, settings, Path(folder))
        half = torch.autocast(trainer.args.device.type, torch.bfloat16, enabled=trainer.args.bf16)
        for _, batch in zip(range(_TIMED), trainer.get_train_dataloader(), strict=False):
            start = time.perf_counter()
            with torch.enable_grad(), half:
                loss = trainer.compute_loss(job.model, trainer._prepare_inputs(batch))
            loss.backward()
            times.append(time.perf_counter() - start)
    job.loss.zero_grad()
    return sorted(times)[len(times) // 2]


def run(job: Job, settings: Settings, into: Path, *, progress: bool = False) -> Outcome:
    """Train; the model has the weights that were best on the dev part.

    Raises `BadInput` for a folder with an unfinished run of another model, other settings or other pairs.
    """
    into.mkdir(parents=True, exist_ok=True)
    checkpoint = _unfinished(into, _told(job, settings))
    _rebase(into, job.model)
    transformers: Any = require("transformers", "training")
    stopping = transformers.EarlyStoppingCallback(early_stopping_patience=settings.patience)
    trainer = _trainer(job, settings, into, [stopping, _follower(job, progress)])
    with quiet(), _reading(job.model, settings.max_length):
        before = _value(job)
        start = time.perf_counter()
        trainer.train(resume_from_checkpoint=checkpoint)
        seconds = time.perf_counter() - start
        # It would compute in half precision for good otherwise.
        trainer.accelerator.unwrap_model(job.model, keep_fp32_wrapper=False)
        after = _value(job)
    shutil.rmtree(into / _CHECKPOINTS, ignore_errors=True)
    (into / _SETTINGS).unlink(missing_ok=True)
    history = tuple(_history(trainer.state.log_history, job))
    return Outcome(job.measure, before, after, history, trainer.state.global_step, seconds)


@contextmanager
def _reading(model: Any, tokens: int) -> Generator[None]:
    """No more tokens of a text than that; as many as ever when it is served."""
    usual = model.max_seq_length
    model.max_seq_length = min(tokens, readable_length(model.transformers_model, None, usual))
    try:
        yield
    finally:
        model.max_seq_length = usual


def _key(job: Job) -> str:
    return f"dev_{job.measure}"


def _value(job: Job) -> float:
    return float(_measured(job, job.model)[_key(job)])


def _measured(job: Job, model: Any) -> dict[str, float]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta state")
        return job.evaluator(model)


def _trainer(job: Job, settings: Settings, into: Path, callbacks: Sequence[Any] = ()) -> Any:
    datasets: Any = require("datasets", "training")
    rows = datasets.Dataset.from_dict({name: list(column) for name, column in job.rows.items()})
    total = steps(settings, len(rows))
    every = math.ceil(total / settings.evaluations)
    use_cpu = settings.device == "cpu" or not _gpu()
    arguments = job.arguments(
        output_dir=str(into / _CHECKPOINTS),
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch,
        learning_rate=settings.rate,
        warmup_steps=math.ceil(settings.warmup * total),
        seed=settings.seed,
        data_seed=settings.seed,
        eval_strategy="steps",
        eval_steps=every,
        save_strategy="steps",
        save_steps=every,
        save_total_limit=1,
        load_best_model_at_end=True,
        metric_for_best_model=f"eval_{_key(job)}",
        greater_is_better=True,
        logging_steps=every,
        report_to="none",
        disable_tqdm=True,
        use_cpu=use_cpu,
        bf16=_bf16(settings.precision, use_cpu),
        **job.options,
    )
    trainer = _class(job.trainer)(
        model=job.model,
        args=arguments,
        train_dataset=rows,
        loss=job.loss,
        evaluator=_evaluator(job),
        callbacks=[*job.callbacks, *callbacks],
    )
    # Without its bar it would print each measure.
    trainer.remove_callback(require("transformers", "training").PrinterCallback)
    return trainer


def _evaluator(job: Job) -> Any:
    evaluation: Any = require("sentence_transformers.base.evaluation", "training")

    class Evaluator(evaluation.BaseEvaluator):  # type: ignore[misc]
        def __call__(self, model: Any, *_: Any, **__: Any) -> dict[str, float]:
            """Of whatever kind it is; no files are written."""
            return _measured(job, model)

    return Evaluator()


def _class(trainer: Any) -> Any:
    class Trainer(trainer):  # type: ignore[misc]
        def add_model_card_callback(self, default_args_dict: Any) -> None:
            """The card is ours; theirs would have texts of the pairs in it."""

    return Trainer


def _follower(job: Job, progress: bool) -> Any:
    """A callback: logs the loss of the last steps, too, and shows the time left and the measure."""
    transformers: Any = require("transformers", "training")

    class Follower(transformers.TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            self.bar = tqdm(
                total=state.max_steps,
                initial=state.global_step,
                desc="Training",
                unit="step",
                disable=not progress,
            )

        def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            control.should_log = control.should_log or state.global_step >= state.max_steps
            self.bar.update()

        def on_evaluate(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            self.bar.set_postfix({job.measure: f"{others['metrics'][f'eval_{_key(job)}']:.4f}"})

        def on_train_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            self.bar.close()

    return Follower()


def _history(log: Sequence[Mapping[str, Any]], job: Job) -> list[Progress]:
    losses = {entry["step"]: float(entry["loss"]) for entry in log if "loss" in entry}
    values = {
        entry["step"]: float(entry[f"eval_{_key(job)}"]) for entry in log if f"eval_{_key(job)}" in entry
    }
    return [Progress(step, losses.get(step), value) for step, value in values.items()]


def _told(job: Job, settings: Settings) -> str:
    """What a run is: its settings, and digests of the model that it starts from and of the rows."""
    torch: Any = require("torch", "training")
    weights, rows = hashlib.sha256(), hashlib.sha256()
    for tensor in job.model.state_dict().values():
        weights.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    for name, column in job.rows.items():
        rows.update(name.encode())
        for value in column:
            rows.update(repr(value).encode())
    values = {
        "settings": settings.model_dump(mode="json"),
        "model": weights.hexdigest(),
        "rows": rows.hexdigest(),
    }
    return json.dumps(values, indent=1)


def _unfinished(into: Path, told: str) -> str | None:
    """The checkpoint to go on from; notes what this run is where there is none."""
    note = into / _SETTINGS
    # What was being written when a run was killed has no state yet, which is written last.
    whole = [path.parent for path in (into / _CHECKPOINTS).glob("checkpoint-*/trainer_state.json")]
    if whole:
        if note.is_file() and note.read_text(encoding="utf-8") == told:
            return str(max(whole, key=lambda path: int(path.name.split("-")[1])))
        raise BadInput(
            f"{into} has an unfinished run of another model, other settings or other pairs: give another "
            "folder, or remove it"
        )
    note.write_text(told, encoding="utf-8")
    return None


def _rebase(into: Path, model: Any) -> None:
    """Adapters' checkpoints name the folder of the model that they are added to, which may have moved."""
    for adapter in (getattr(model.transformers_model, "peft_config", None) or {}).values():
        for path in (into / _CHECKPOINTS).glob("checkpoint-*/adapter_config.json"):
            values = json.loads(path.read_text(encoding="utf-8"))
            values["base_model_name_or_path"] = adapter.base_model_name_or_path
            path.write_text(json.dumps(values, indent=2), encoding="utf-8")


def _gpu() -> bool:
    torch: Any = require("torch", "training")
    return bool(torch.cuda.is_available())


def _bf16(precision: Precision, use_cpu: bool) -> bool:
    if precision != "auto":
        return precision == "bf16"
    torch: Any = require("torch", "training")
    return bool(torch.cpu._is_avx512_bf16_supported() if use_cpu else torch.cuda.is_bf16_supported())
