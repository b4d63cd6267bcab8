"""Rows padded here are what the model's own preprocessing makes of the texts, or it does so itself."""

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

from rag_plugins.models.collating import Collator

TEXTS = ["red pump", "", " the filter,  the pumps ", "valve " * 100]


def collator_of(model, prompt="", **options):
    """The collator, how rows are made for it, and the preprocessing that it is to be like."""

    def tokenize(texts):
        given = [prompt + text for text in texts]
        return model.tokenizer(given, truncation=True, max_length=model.max_seq_length)

    def preprocess(texts):
        return model.preprocess(texts, prompt=prompt, **options)

    return Collator.of(model.tokenizer, tokenize, preprocess), tokenize, preprocess


def plain(folder, **options):
    transformer = Transformer(str(folder), **options)
    pooling = Pooling(transformer.get_embedding_dimension(), "mean", include_prompt=False)
    return SentenceTransformer(modules=[transformer, pooling], device="cpu")


def assert_same(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert torch.equal(value, theirs[name]) if torch.is_tensor(value) else value == theirs[name]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("prompt", ["", "query: "])
@pytest.mark.parametrize("folder", ["tiny_bert", "tiny_m3"])
def test_it_does_as_preprocessing_does(request, folder, prompt, side):
    model = plain(request.getfixturevalue(folder))
    model.tokenizer.padding_side = side
    collate, tokenize, preprocess = collator_of(model, prompt)
    rows = tokenize(TEXTS)
    assert_same(collate(rows, [0, 1, 2, 3]), preprocess(TEXTS))
    assert_same(collate(rows, [2, 0]), preprocess([TEXTS[2], TEXTS[0]]))
    # What pooling needs to leave the prompt out.
    assert ("prompt_length" in collate.constants) == bool(prompt)


def test_preprocessing_that_does_more_is_left_alone(tiny_bert):
    expansion = {"strategy": "fixed", "length": 12, "token": "[MASK]", "attend": True}
    model = plain(tiny_bert, query_expansion=expansion)
    assert collator_of(model, task="query")[0] is None
    assert collator_of(model, task="document")[0] is not None
