"""What the tests of both frameworks' faces use."""

import asyncio
import time

import numpy as np

from rag_plugins.models.protocols import Scores


async def watched(work):
    """Await a coroutine beside a ticking task: its result, and the longest time the loop stood still (s)."""
    longest, task = 0.0, asyncio.ensure_future(work)
    while not task.done():
        before = time.perf_counter()
        await asyncio.sleep(0.005)
        longest = max(longest, time.perf_counter() - before)
    return task.result(), longest


class WordOverlap:
    """A reranker that can be worked out by hand: how many words of the query the views have."""

    name = "word-overlap"
    scale = "logit"
    reads_tokens = False
    reads_images = False

    def __init__(self, seconds=0.0):
        self.seconds = seconds

    def score(self, query, candidates):
        time.sleep(self.seconds)
        words = set(query.lower().split())
        texts = ["".join(view.text for view in candidate.views) for candidate in candidates]
        return Scores(np.array([len(words & set(text.lower().split())) for text in texts], dtype=np.float32))


def tiny_cross_encoder(folder, words):
    """A folder with a real architecture and tokenizer, random weights, and `words` as vocabulary."""
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast, set_seed

    set_seed(7)
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]))
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    config = BertConfig(
        vocab_size=5 + len(words),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        num_labels=1,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    return str(folder)
