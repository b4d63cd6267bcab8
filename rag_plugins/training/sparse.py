"""Learned sparse models: ranking, and what keeps queries and documents sparse, added up.

    L = L_ranking(q, d) + lambda_q R(q) + lambda_d R(d)

R is FLOPS (arXiv:2004.05665): the sum over terms of the squared mean weight in the batch. Or one product,

    L = L_ranking(q, d) + lambda mean(|q|_1 |d|_1)

which lets queries and documents settle how many terms each has. Both begin at 0 and grow by squares.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rag_plugins.config import SparseLeg
from rag_plugins.config.training import SparseTraining
from rag_plugins.errors import ConfigError, require
from rag_plugins.models.backend import quiet
from rag_plugins.models.lexical_head import LexicalHead, has_lexical_head, lexical_model, load_lexical
from rag_plugins.training.columns import columns, information_retrieval
from rag_plugins.training.pairs import Pair, answering
from rag_plugins.training.running import Job, begin, steps

__all__ = ["l1_product", "open_sparse", "sparse_job", "weigh_tokens"]


def open_sparse(path: Path, settings: SparseTraining) -> Any:
    """A saved sparse encoder as it is; of another folder what `form` says.

    Raises `ConfigError` for a checkpoint without a masked-LM head where SPLADE needs one.
    """
    library: Any = require("sentence_transformers", "training")
    modules: Any = require("sentence_transformers.sparse_encoder.modules", "training")
    begin(settings)
    if settings.form == "lexical" or has_lexical_head(path):
        return _lexical(path, settings)
    if _is_sparse(path):
        with quiet():
            return library.SparseEncoder(str(path), device=settings.device or "cpu", local_files_only=True)
    with quiet():
        document = [_masked_lm(path), modules.SpladePooling("max")]
    if settings.form == "splade":
        return library.SparseEncoder(modules=document, device=settings.device or "cpu")
    router: Any = require("sentence_transformers.base.modules", "training").Router
    static = modules.SparseStaticEmbedding(tokenizer=document[0].tokenizer, frozen=False)
    routed = router.for_query_document(query_modules=[static], document_modules=document)
    return library.SparseEncoder(modules=[routed], device=settings.device or "cpu", similarity_fn_name="dot")


def _is_sparse(path: Path) -> bool:
    config = path / "config_sentence_transformers.json"
    return config.is_file() and json.loads(config.read_bytes()).get("model_type") == "SparseEncoder"


def _lexical(path: Path, settings: SparseTraining) -> Any:
    """A trunk that stays as it is, with its head, or one that is not trained yet."""
    device = settings.device or "cpu"
    with quiet():
        saved = has_lexical_head(path)
        model = load_lexical(path, device) if saved else lexical_model(path, device=device)
    model[0].requires_grad_(False)
    return model


def _masked_lm(path: Path) -> Any:
    base: Any = require("sentence_transformers.base.modules", "training")
    made = base.Transformer(
        str(path),
        transformer_task="fill-mask",
        model_kwargs={"use_safetensors": True},
    )
    if not any(name.endswith("ForMaskedLM") for name in made.config.architectures or ()):
        raise ConfigError(
            f"{path} has no masked-LM head, which would start at random: choose a masked-LM checkpoint, or "
            'form = "lexical", a weight for each token of a bi-encoder'
        )
    return made


def l1_product(queries: Any, documents: Any) -> Any:
    """Mean over pairs of |q|_1 |d|_1; (n, terms) each, of which row i belongs to row i."""
    return (queries.abs().sum(dim=1) * documents.abs().sum(dim=1)).mean()


def sparse_job(
    model: Any,
    settings: SparseTraining,
    train: Sequence[Pair],
    dev: Sequence[Pair],
    leg: SparseLeg | None = None,
) -> Job:
    """Texts with no more non-zeros than `leg` keeps are sparse enough: FLOPS leaves them alone.

    It is measured from the regulariser's full weight on: what ranks best before is not yet sparse. Raises
    `BadInput` for a loss that these pairs do not go with.
    """
    library: Any = require("sentence_transformers", "training")
    routed = isinstance(model[0], require("sentence_transformers.base.modules", "training").Router)
    loss = _loss(model, settings, leg, settings.form == "splade" and not routed)
    callbacks: Any = require("sentence_transformers.sparse_encoder.callbacks.splade_callbacks", "training")
    warming = callbacks.SpladeRegularizerWeightSchedulerCallback(
        loss, warmup_ratio=settings.regulariser_warmup or _AT_ONCE
    )
    rows = columns(answering(train), settings.loss, settings.negatives)
    total = steps(settings, len(rows["query"]))
    options: dict[str, Any] = {
        "batch_sampler": "no_duplicates",
        "eval_delay": int(settings.regulariser_warmup * total),
    }
    if routed:
        options["router_mapping"] = {name: "query" if name == "query" else "document" for name in rows}
        # The weights of queries begin at 1, all alike, and have to move far.
        options["learning_rate_mapping"] = {r"sub_modules\.query\.": _STATIC_RATE}
    if isinstance(model[-1], LexicalHead):
        options["learning_rate_mapping"] = {r"\.linear\.": _HEAD_RATE}
        if not model[-1].linear.weight.any():
            weigh_tokens(model, [pair.positive for pair in train])
    return Job(
        model=model,
        trainer=library.SparseEncoderTrainer,
        arguments=library.SparseEncoderTrainingArguments,
        rows=rows,
        loss=loss,
        evaluator=information_retrieval(answering(dev)),
        measure="dot_ndcg@10",
        options=options,
        callbacks=[warming],
    )


def _loss(model: Any, settings: SparseTraining, leg: SparseLeg | None, on_queries: bool) -> Any:
    """Ranking, and the regularisers: that of queries where these are made by a model."""
    losses: Any = require("sentence_transformers.sparse_encoder.losses", "training")
    inner = {
        "ranking": losses.SparseMultipleNegativesRankingLoss,
        "margin-mse": losses.SparseMarginMSELoss,
    }[settings.loss](model)
    product = settings.regulariser == "l1-product"
    kind = _product_loss(losses.SpladeLoss) if product else losses.SpladeLoss
    return kind(
        model,
        inner,
        document_regularizer_weight=settings.document_weight,
        query_regularizer_weight=settings.query_weight if on_queries else 0.0,
        document_regularizer_threshold=leg.document_terms if leg and not product else None,
        query_regularizer_threshold=leg.query_terms if leg and not product else None,
    )


_STATIC_RATE = 1e-3

_AT_ONCE = 1e-9
"""A share that is less than a step. Of 0, as of no callback, the library makes a third."""

_HEAD_RATE = 0.05
"""384 numbers on states of unit length: a few hundred steps are enough."""


def weigh_tokens(model: Any, texts: Sequence[str]) -> None:
    """Set s_t of a lexical head: the root of the inverse document frequency in these texts, 1 on average.

    idf(t) = log(1 + (N - n_t + .5) / (n_t + .5)), as in BM25; query and passage have a root of it each.
    """
    torch: Any = require("torch", "training")
    rows = model.tokenizer(list(texts), truncation=True, max_length=model.max_seq_length)["input_ids"]
    found = torch.zeros(model[-1].vocabulary)
    for ids in rows:
        found[list(set(ids))] += 1
    idf = torch.log(1 + (len(rows) - found + 0.5) / (found + 0.5))
    model[-1].tokens.copy_((idf / idf.mean()).sqrt())


def _product_loss(splade: Any) -> Any:
    """A class: its only term beside ranking is `l1_product`, with the documents' weight and its warm-up."""

    class ProductLoss(splade):  # type: ignore[misc, valid-type]
        def forward(self, sentence_features: Any, labels: Any = None) -> dict[str, Any]:
            embeddings = [self.model(features)["sentence_embedding"] for features in sentence_features]
            ranking = self.loss.compute_loss_from_embeddings(embeddings, labels)
            queries, *documents = embeddings
            product = sum(l1_product(queries, texts) for texts in documents) / len(documents)
            return {
                "base_loss": ranking,
                "document_regularizer_loss": self.document_regularizer_weight * product,
            }

    return ProductLoss
