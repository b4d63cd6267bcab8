"""Pairs about nine parts, tiny models that know their words, and settings that train these in a second."""

import itertools

from rag_plugins.config.training import DenseTraining, RerankTraining, SparseTraining
from rag_plugins.training.dense import dense_job, open_dense, trained_widths
from rag_plugins.training.pairs import Pair
from rag_plugins.training.rerankers import open_reranker, reranker_job
from rag_plugins.training.running import run
from rag_plugins.training.sparse import open_sparse, sparse_job

WORDS = ["the", "pump", "valve", "filter", "red", "blue", "green", "is", "query", "month", "every", ".", "?"]
PARTS = list(itertools.product(("red", "blue", "green"), ("filter", "pump", "valve")))
ASKED = ("{0} {1} ?", "the {1} is {0} ?", "{1} {0}")
QUICK = {
    "batch": 9,
    "max_length": 32,
    "precision": "fp32",
    "learning_rate": 2e-3,
    "epochs": 8,
    "evaluations": 3,
    "patience": 9,
}


def passage(colour, part):
    return f"every month the {part} is {colour} ."


def _pair(form, colour, part):
    others = tuple(passage(*other) for other in PARTS if (other[0] == colour) != (other[1] == part))
    same = [2.0 for _ in others]  # They share a word with the query: half an answer.
    return Pair(form.format(colour, part), passage(colour, part), others, taught=(4.0, *same))


TRAIN = [_pair(form, *part) for form in ASKED for part in PARTS]
DEV = [_pair("query {0} {1}", *part) for part in PARTS]
GRADED = [
    Pair(
        form.format(*one), passage(*other), score=float(sum(a == b for a, b in zip(one, other, strict=True)))
    )
    for form in ASKED
    for one in PARTS
    for other in PARTS
]


def bert(folder, head=None):
    """A BERT of 64 numbers with random weights, alone or with one of transformers' heads; its folder."""
    import torch
    import transformers

    torch.manual_seed(0)
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    tokenizer = transformers.BertTokenizerFast(vocab={piece: n for n, piece in enumerate(pieces)})
    tokenizer.model_max_length = 64
    config = transformers.BertConfig(
        vocab_size=len(pieces),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.2,  # Large, so that different texts get clearly different vectors.
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    kind = getattr(transformers, f"BertFor{head}" if head else "BertModel")
    kind(config).eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def dense(base, train=TRAIN, dev=DEV, **options):
    """A model of a folder, its settings, and the job that trains it."""
    settings = DenseTraining(**{**QUICK, "widths": (4, 8, 16, 32), **options})
    model = open_dense(base, settings)
    return model, settings, dense_job(model, settings, trained_widths(settings, None, 64), train, dev)


def sparse(base, train=TRAIN, dev=DEV, **options):
    settings = SparseTraining(**{**QUICK, **options})
    model = open_sparse(base, settings)
    return model, settings, sparse_job(model, settings, train, dev)


def reranker(base, train=TRAIN, dev=DEV, **options):
    settings = RerankTraining(**{**QUICK, **options})
    model = open_reranker(base, settings)
    return model, settings, reranker_job(model, settings, train, dev)


def trained(opened, into):
    """The model after its job, and what that came to."""
    model, settings, job = opened
    return model, run(job, settings, into)


def learns(outcome):
    """Whether the loss at the end is below that at the beginning."""
    losses = [at.loss for at in outcome.history]
    return losses[-1] < losses[0] and all(loss > 0 for loss in losses)
