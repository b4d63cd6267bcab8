"""Rerankers that read images: a tiny Qwen3-VL, saved as those of the hub are."""

import json
from importlib.util import find_spec
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from sentence_transformers import CrossEncoder
from sentence_transformers.cross_encoder.modules import LogitScore, Transformer
from tiny_vision import name_processor, picture, save_qwen3_vl

from rag_plugins.config import ComputeConfig, CrossEncoderConfig
from rag_plugins.errors import QueryTooLong
from rag_plugins.models.compute.rule import Choice
from rag_plugins.models.protocols import Candidate
from rag_plugins.models.rerank.cross_encoder import CrossEncoderReranker
from rag_plugins.models.rerank.load import Source, load_pair_model
from rag_plugins.models.rerank.multimodal import score_pages
from rag_plugins.models.visual.images import without_videos
from rag_plugins.types import EmbedImage, EmbedText

TORCH = Choice("torch", "fp32", "cpu", 1024, "the test wants it")
EXACT = ComputeConfig(backend="torch", precision="fp32")
QUERY = "Which valve is red?"
NOTHING = EmbedImage("0" * 64)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    plain, saved = tmp_path_factory.mktemp("plain"), tmp_path_factory.mktemp("saved")
    save_qwen3_vl(plain)
    with without_videos(plain) as folder:
        transformer = Transformer(str(folder), transformer_task="any-to-any")
    answers = LogitScore(*transformer.tokenizer.convert_tokens_to_ids(["yes", "no"]))
    scores = CrossEncoder(modules=[transformer, answers], activation_fn=torch.nn.Identity())
    scores.save_pretrained(str(saved))
    name_processor(saved, json.loads((saved / "processor_config.json").read_text()))
    return saved


@pytest.fixture(scope="module")
def model(saved):
    with without_videos(saved) as folder:
        return load_pair_model(Source(folder, None, 512, None, TORCH))


def page(data, text=None):
    return Candidate((NOTHING, *([EmbedText(text)] if text else [])), image=data)


def test_scores_equal_sentence_transformers(model):
    pages = [picture(40, 60, 1), picture(32, 32, 2), picture(80, 50, 3)]
    candidates = [
        page(pages[0]),
        page(pages[1], "not read"),
        Candidate((EmbedText("a red pump"),)),
        page(pages[2]),
    ]
    images = [Image.open(BytesIO(data)) for data in pages]
    documents = [*images[:2], "a red pump", images[2]]
    for instruction in (None, "Find valves"):
        expected = model.model.predict([(QUERY, document) for document in documents], prompt=instruction)
        scores = score_pages(model, QUERY, candidates, instruction, windows=False)
        if instruction is None:
            assert scores.values == pytest.approx(expected, abs=1e-4)
        assert scores.values[[0, 1, 3]] == pytest.approx(expected[[0, 1, 3]], abs=1e-4)
        assert not scores.notices
    assert expected.std() > 0.1


def test_a_folder_serves_as_a_reranker(saved):
    reranker = CrossEncoderReranker(
        CrossEncoderConfig(model=str(saved), max_length=512, instruction="Find valves"), EXACT
    )
    assert reranker.reads_images
    assert reranker.scale == "logit"
    data = picture(40, 60, 1)
    scores = reranker.score(QUERY, [page(data), Candidate((EmbedText("a red pump"),))])
    with without_videos(saved) as folder:
        alone = CrossEncoder(str(folder))
    pairs = [(QUERY, Image.open(BytesIO(data))), (QUERY, "a red pump")]
    assert scores.values == pytest.approx(alone.predict(pairs, prompt="Find valves"), abs=1e-4)


def test_a_query_that_is_a_path_or_an_address_is_read_as_text(model, tmp_path):
    path = tmp_path / "pump.png"
    path.write_bytes(picture(40, 40))
    for query in (str(path), "http://localhost/pump.png"):
        scores = score_pages(
            model, query, [page(picture(32, 32)), Candidate((EmbedText(query),))], None, windows=False
        )
        assert np.isfinite(scores.values).all()
        assert not scores.notices


def test_an_image_that_does_not_decode_leaves_the_text(model):
    text = "the pump is changed every month"
    candidates = [page(b"no image", text), page(picture(32, 32)[:200]), page(picture(32, 32)), page(b"")]
    scores = score_pages(model, QUERY, candidates, None, windows=False)
    alone = score_pages(model, QUERY, [Candidate((EmbedText(text),))], None, windows=False)
    assert scores.values[0] == pytest.approx(alone.values[0], abs=1e-5)
    assert scores.values[1] == scores.values[3] == scores.values[[0, 2]].min()
    assert scores.notices == (
        "images that do not decode, read by their text where they have some: 3",
        "pages that have no score, and count as the lowest: 2",
    )
    nothing = score_pages(model, QUERY, [page(b"")], None, windows=False)
    assert nothing.values.tolist() == [0.0]


def test_texts_are_cut_and_say_so_while_images_never_are(model):
    long = Candidate((EmbedText("the pump " * 600),))
    scores = score_pages(model, QUERY, [page(picture(32, 32)), long], None, windows=False)
    assert list(scores.read) == [1]
    assert scores.read[1].tokens < scores.read[1].total
    with pytest.raises(QueryTooLong, match="the model reads 512"):
        score_pages(model, "pump " * 900, [page(picture(32, 32))], None, windows=False)


def test_no_candidates(model):
    assert score_pages(model, QUERY, [], None, windows=False).values.shape == (0,)


@pytest.mark.skipif(find_spec("torchvision") is not None, reason="transformers can load all of it then")
def test_transformers_alone_cannot_load_it(saved):
    with pytest.raises(ImportError, match="Torchvision"):
        CrossEncoder(str(saved))
