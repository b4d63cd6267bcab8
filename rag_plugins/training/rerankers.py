"""Cross-encoders: each pair by itself, a query's passages together, or a teacher's margins."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rag_plugins.config.training import RerankTraining
from rag_plugins.errors import BadInput, require
from rag_plugins.models.backend import quiet
from rag_plugins.training.columns import filled, labelled, listed, margins
from rag_plugins.training.pairs import Pair, answering
from rag_plugins.training.running import Job, begin

__all__ = ["merged", "open_reranker", "reranker_job"]


def open_reranker(path: Path, settings: RerankTraining) -> Any:
    """A cross-encoder of a folder; any other checkpoint gets a new head that scores pairs."""
    library: Any = require("sentence_transformers", "training")
    begin(settings)
    with quiet():
        model = library.CrossEncoder(
            str(path),
            num_labels=1,
            device=settings.device or "cpu",
            local_files_only=True,
            model_kwargs={"use_safetensors": True},
        )
    if settings.lora:
        peft: Any = require("peft", "training")
        model.add_adapter(
            peft.LoraConfig(
                task_type=peft.TaskType.SEQ_CLS,
                r=settings.lora,
                lora_alpha=2 * settings.lora,
                target_modules="all-linear",
                modules_to_save=_HEADS,
                exclude_modules=rf"(.*\.)?({'|'.join(_HEADS)})(\..*)?",
            )
        )
    return model


def reranker_job(model: Any, settings: RerankTraining, train: Sequence[Pair], dev: Sequence[Pair]) -> Job:
    """Raises `BadInput` where no pair has negatives, or none that is measured by can have any."""
    with_negatives = [pair for pair in answering(train) if pair.negatives]
    if not with_negatives:
        raise BadInput(
            "a reranker learns from passages that answer nothing, too: give negatives, or mine them"
        )
    library: Any = require("sentence_transformers", "training")
    losses: Any = require("sentence_transformers.cross_encoder.losses", "training")
    rows, loss = {
        "bce": lambda: (
            labelled(with_negatives, settings.negatives),
            losses.BinaryCrossEntropyLoss(model),
        ),
        # Its softmax over 0 and 1 would leave the positive .475 beside three negatives: labels are scaled.
        "listwise": lambda: (
            listed(with_negatives, settings.negatives, _SURE),
            losses.ListNetLoss(model),
        ),
        "margin-mse": lambda: (
            margins(with_negatives, settings.negatives),
            losses.MarginMSELoss(model),
        ),
    }[settings.loss]()
    return Job(
        model=model,
        trainer=library.CrossEncoderTrainer,
        arguments=library.CrossEncoderTrainingArguments,
        rows=rows,
        loss=loss,
        evaluator=_reranking(filled(answering(dev), settings.negatives)),
        measure="ndcg@10",
        options={},
    )


def _reranking(dev: Sequence[Pair]) -> Any:
    samples = [
        {"query": pair.query, "positive": [pair.positive], "negative": list(pair.negatives)}
        for pair in dev
        if pair.negatives
    ]
    if not samples:
        raise BadInput("the part that is measured by has no passage that answers nothing: give more pairs")
    evaluation: Any = require("sentence_transformers.cross_encoder.evaluation", "training")
    return evaluation.CrossEncoderRerankingEvaluator(samples, at_k=10, name="dev", show_progress_bar=False)


_SURE = 10.0
"""A label so large that a softmax gives a positive all but one part in some thousands."""


_HEADS = ["classifier", "pooler", "pre_classifier", "head", "score"]
"""What these are called: trained as they are, not by adapters."""


def merged(model: Any) -> Any:
    """The model with its adapters added to its weights: an ordinary one. Others as they are."""
    transformer = model.transformers_model
    if not getattr(transformer, "peft_config", None):
        return model
    tuners: Any = require("peft.tuners.tuners_utils", "training")
    wrappers: Any = require("peft.utils", "training")
    # All are listed before any is replaced: a module that was replaced is not gone through.
    for name, module in list(transformer.named_modules()):
        if isinstance(module, tuners.BaseTunerLayer):
            module.merge()
            transformer.set_submodule(name, module.get_base_layer())
        elif isinstance(module, wrappers.ModulesToSaveWrapper):
            transformer.set_submodule(name, module.modules_to_save[module.active_adapter])
    del transformer.peft_config
    transformer._hf_peft_config_loaded = False
    transformer.requires_grad_(True)
    return model
