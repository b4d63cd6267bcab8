"""What the tests of both frameworks' faces use."""

import asyncio
import time
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
from page_support import ColourEncoder, picture

from rag_plugins import Config, RagIndex
from rag_plugins.config import Bm25Leg, ImageLeg
from rag_plugins.models.protocols import Scores
from rag_plugins.types import EmbedImage, Provenance


async def watched(work):
    """Await a coroutine beside a ticking task: its result, and the longest time the loop stood still (s)."""
    longest, task = 0.0, asyncio.ensure_future(work)
    while not task.done():
        before = time.perf_counter()
        await asyncio.sleep(0.005)
        longest = max(longest, time.perf_counter() - before)
    return task.result(), longest


async def spinning(jobs=50, seconds=0.008):
    """Threads that do nothing but Python: beside them, on a machine with other work, any loop has to wait."""
    await asyncio.gather(*(asyncio.to_thread(_spin, seconds) for _ in range(jobs)))


def _spin(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


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
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    BertTokenizerFast(vocab={piece: number for number, piece in enumerate(pieces)}).save_pretrained(folder)
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


VALVE = "Close it before the filter is changed."
PLAN = "[plan.pdf, page 3: a picture without readable text]"


@contextmanager
def dual_index(path):
    """A valve on a red page, found by words that no LLM reads, and a blue plan; spares share the red page.

    Of the plan there is nothing to read.
    """
    config = Config(legs=(Bm25Leg(), ImageLeg(model="colours")), rerank=())
    with RagIndex.open(path, config=config, encoders={"image": ColourEncoder()}) as index:
        red, blue = picture("red"), picture("blue")
        valve = index.passage(VALVE, view="shutoff device", image=red, caller_id="valve", doc_id="manual.pdf")
        spare = index.passage("Order number 4711.", view="spares", image=red, caller_id="spare")
        plan = index.passage(PLAN, view="", image=blue, caller_id="plan", doc_id="plan.pdf")
        index.add([_on_page(valve, "manual.pdf", 7), spare, _on_page(plan, "plan.pdf", 3)])
        yield index


def _on_page(passage, source, page):
    asset = next(view.asset for view in passage.views if isinstance(view, EmbedImage))
    return replace(passage, provenance=Provenance(source, page, page_image=asset))
