"""Rerankers that read images: a tiny Qwen3-VL, saved as those of the hub are."""

import json
import os
from importlib.util import find_spec
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from sentence_transformers import CrossEncoder
from sentence_transformers.cross_encoder.modules import LogitScore, Transformer
from tiny_causal import make_bpe

from rag_plugins.config import ComputeConfig, CrossEncoderConfig
from rag_plugins.errors import QueryTooLong
from rag_plugins.models.compute.rule import Choice
from rag_plugins.models.protocols import Candidate
from rag_plugins.models.rerank.cross_encoder import CrossEncoderReranker
from rag_plugins.models.rerank.load import Source, load_pair_model
from rag_plugins.models.rerank.multimodal import score_pages
from rag_plugins.models.visual.images import reads_images, without_videos
from rag_plugins.pictures import page_image
from rag_plugins.types import EmbedImage, EmbedText

VISION = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
CHAT = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% for c in m.content %}"
    "{% if c.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ c.text }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
)
TORCH = Choice("torch", "fp32", "cpu", 1024, "the test wants it")
EXACT = ComputeConfig(backend="torch", precision="fp32")
QUERY = "Which valve is red?"
NOTHING = EmbedImage("0" * 64)


def save_plain(folder):
    """Model, tokenizer and image processor; nothing of what sentence-transformers adds."""
    from transformers import Qwen2VLImageProcessorPil, Qwen3VLConfig, Qwen3VLForConditionalGeneration

    tokenizer = make_bpe()
    tokenizer.add_special_tokens({"additional_special_tokens": VISION})
    tokenizer.chat_template = CHAT
    start, _, image, video = tokenizer.convert_tokens_to_ids(VISION)
    shared = {"hidden_size": 32, "intermediate_size": 64, "initializer_range": 0.5}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8}
    rotary = {
        "rope_type": "default",
        "mrope_section": [2, 1, 1],
        "mrope_interleaved": True,
        "rope_theta": 1e4,
    }
    words = {"vocab_size": len(tokenizer), "num_hidden_layers": 2, "max_position_embeddings": 1024}
    patches = {"patch_size": 4, "temporal_patch_size": 2}
    eyes = {"depth": 2, "num_heads": 4, "out_hidden_size": 32, "spatial_merge_size": 2}
    torch.manual_seed(0)
    config = Qwen3VLConfig(
        text_config={**words, **shared, **heads, "rope_parameters": rotary},
        vision_config={
            **patches,
            **eyes,
            **shared,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0, 1],
        },
        image_token_id=image,
        video_token_id=video,
        vision_start_token_id=start,
        tie_word_embeddings=False,
    )
    Qwen3VLForConditionalGeneration(config).eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    Qwen2VLImageProcessorPil(
        **patches, merge_size=2, size={"shortest_edge": 64, "longest_edge": 4096}
    ).save_pretrained(folder)
    name_processor(folder, {})


def name_processor(folder, config):
    videos = {"video_processor_type": "Qwen3VLVideoProcessor", "patch_size": 4}
    named = config | {"processor_class": "Qwen3VLProcessor", "video_processor": videos}
    (folder / "processor_config.json").write_text(json.dumps(named))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    plain, saved = tmp_path_factory.mktemp("plain"), tmp_path_factory.mktemp("saved")
    save_plain(plain)
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


def picture(width, height, seed=0, **options):
    values = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    buffer = BytesIO()
    Image.fromarray(values).save(buffer, options.pop("format", "PNG"), **options)
    return buffer.getvalue()


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


class TestPageImage:
    def test_it_is_upright_and_on_white(self):
        exif = Image.Exif()
        exif[0x0112] = 6  # To be turned by 90 degrees.
        assert page_image(picture(40, 20, format="JPEG", exif=exif)).size == (20, 40)
        clear = BytesIO()
        Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(clear, "PNG")
        assert page_image(clear.getvalue()).getpixel((0, 0)) == (255, 255, 255)
        assert page_image(picture(4, 4)).mode == "RGB"

    def test_bombs_are_not_decoded(self, monkeypatch):
        bomb = BytesIO()
        Image.new("1", (8000, 5001)).save(bomb, "PNG")
        monkeypatch.setattr(Image.Image, "convert", None)
        assert page_image(bomb.getvalue()) is None

    @pytest.mark.parametrize("data", [b"", b"GIF89a", b"%PDF-1.7", os.urandom(999), picture(9, 9)[:-30]])
    def test_what_is_no_image_is_none(self, data):
        assert page_image(data) is None

    def test_other_formats_are_not_tried(self):
        assert page_image(picture(8, 8, format="BMP")) is None


def test_which_folders_read_images(saved, tmp_path, tiny_bert):
    assert reads_images(saved)
    assert not reads_images(tiny_bert)
    assert not reads_images(tmp_path)


def test_a_processor_without_videos_is_left_as_it_is(tiny_bert):
    with without_videos(tiny_bert) as folder:
        assert folder == tiny_bert


@pytest.mark.skipif(find_spec("torchvision") is not None, reason="transformers can load all of it then")
def test_transformers_alone_cannot_load_it(saved):
    with pytest.raises(ImportError, match="Torchvision"):
        CrossEncoder(str(saved))
