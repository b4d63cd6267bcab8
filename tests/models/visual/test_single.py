"""Encoders of one vector an image: what they give equals transformers' own, whatever they are saved as."""

import json
import shutil
import weakref
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import (
    Dense,
    Normalize,
    Pooling,
    Router,
    Transformer,
)
from tiny_clip import SHAPES, describe, draw_shape, save_clip, save_trained_clip
from tiny_vision import name_processor, picture, save_qwen3_vl, save_siglip
from transformers import AutoModel, AutoProcessor

from rag_plugins.config import ComputeConfig, ImageLeg
from rag_plugins.errors import BadInput, ConfigError, MissingExtra, SideError, UnknownPreset
from rag_plugins.models.facts import ImagePreset
from rag_plugins.models.presets import IMAGE_PRESETS
from rag_plugins.models.protocols import SPARSE
from rag_plugins.models.visual import trunk
from rag_plugins.models.visual.images import without_videos
from rag_plugins.models.visual.single import ImageModelEncoder
from rag_plugins.types import EmbedText
from rag_plugins.vectors import normalise

QUERIES = ["a page with a circle", "a Square", "", "a cross or a circle, a square or a cross " * 9]
IMAGES = [picture(40, 60, 1), picture(32, 32, 2, format="JPEG"), picture(90, 30, 3, format="WEBP")]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return save_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def siglip(tmp_path_factory):
    return save_siglip(tmp_path_factory.mktemp("siglip"))


@pytest.fixture(scope="module")
def qwen(tmp_path_factory):
    """A Qwen3-VL-Embedding as the hub has it: the last token's vector, with prompts as system messages."""
    plain, saved = tmp_path_factory.mktemp("plain"), tmp_path_factory.mktemp("saved")
    with without_videos(save_qwen3_vl(plain)) as folder:
        transformer = Transformer(str(folder))
    parts = [transformer, Pooling(32, "lasttoken"), Normalize()]
    prompts = {"query": "Find pages.", "document": "Represent the input."}
    model = SentenceTransformer(modules=parts, prompts=prompts)
    model.save_pretrained(str(saved))
    name_processor(saved, json.loads((saved / "processor_config.json").read_text()))
    return saved


def encoder_of(folder, **settings):
    return ImageModelEncoder(ImageLeg(model=str(folder), **settings))


def pillow(images):
    return [Image.open(BytesIO(data)).convert("RGB") for data in images]


def features_of(folder, queries, images, **padding):
    """Unit vectors from transformers alone."""
    model, processor = AutoModel.from_pretrained(folder).eval(), AutoProcessor.from_pretrained(folder)
    texts = processor(text=queries, return_tensors="pt", truncation=True, max_length=16, **padding)
    pixels = processor(images=pillow(images), return_tensors="pt")
    with torch.inference_mode():
        found = model.get_text_features(**texts), model.get_image_features(**pixels)
    return [normalise(part.pooler_output.numpy()) for part in found]


def test_a_plain_clip_folder_equals_transformers(clip):
    encoder = encoder_of(clip)
    texts, pages = features_of(clip, QUERIES, IMAGES, padding=True)
    assert encoder.encode_queries(QUERIES).dense == pytest.approx(texts, abs=1e-5)
    assert encoder.encode_images(IMAGES).dense == pytest.approx(pages, abs=1e-5)
    assert encoder.dim == 24
    assert np.abs(pages[0] - pages[1]).max() > 0.05
    assert encoder.encode_images(IMAGES).dense.dtype == np.float32


@pytest.mark.parametrize("by", ["this version", "an old one"])
def test_a_folder_of_sentence_transformers_equals_transformers(clip, tmp_path, by):
    """As it saves one, and as those on the hub were saved: in a folder of its own."""
    if by == "this version":
        SentenceTransformer(str(clip)).save_pretrained(str(tmp_path))
    else:
        shutil.copytree(clip, tmp_path / "0_CLIPModel")
        module = {
            "idx": 0,
            "name": "0",
            "path": "0_CLIPModel",
            "type": "sentence_transformers.models.CLIPModel",
        }
        (tmp_path / "modules.json").write_text(json.dumps([module]))
    texts, pages = features_of(clip, QUERIES, IMAGES, padding=True)
    encoder = encoder_of(tmp_path)
    assert encoder.encode_queries(QUERIES).dense == pytest.approx(texts, abs=1e-5)
    assert encoder.encode_images(IMAGES).dense == pytest.approx(pages, abs=1e-5)


def test_siglip_reads_texts_as_it_was_trained(siglip):
    """Padded to their full length, and in lower case; not so, the vectors are others."""
    encoder = encoder_of(siglip, query_prompt="A ")
    queries = [f"a {query.lower()}" for query in QUERIES]
    texts, pages = features_of(siglip, queries, IMAGES, padding="max_length")
    assert encoder.encode_queries(QUERIES).dense == pytest.approx(texts, abs=1e-5)
    assert encoder.encode_images(IMAGES).dense == pytest.approx(pages, abs=1e-5)
    short, _ = features_of(siglip, queries[:1], IMAGES, padding=True)
    assert np.abs(short - texts[0]).max() > 1e-3


def test_a_projection_narrower_than_its_tower(tmp_path):
    encoder = encoder_of(save_siglip(tmp_path, projection=24, eyes=24))
    assert encoder.dim == 24
    assert (
        encoder.encode_queries(["a"]).dense.shape == encoder.encode_images(IMAGES[:1]).dense.shape == (1, 24)
    )


def test_two_spaces_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="gives texts 24 numbers and images 32: .* one space"):
        encoder_of(save_siglip(tmp_path, projection=24)).encode_queries(["a"])


def test_a_model_of_messages_equals_sentence_transformers_without_torchvision(qwen):
    with without_videos(qwen) as folder:
        alone = SentenceTransformer(str(folder))
    encoder = encoder_of(qwen)
    queries = ["Which valve is red?", "the pump"]
    expected = alone.encode_query([{"text": query} for query in queries])
    assert encoder.encode_queries(queries).dense == pytest.approx(expected, abs=1e-4)
    assert encoder.encode_images(IMAGES).dense == pytest.approx(
        alone.encode_document(pillow(IMAGES)), abs=1e-4
    )
    assert encoder.fingerprint["query_prompt"] == "Find pages."
    assert encoder.fingerprint["image_prompt"] == "Represent the input."
    other = encoder_of(qwen, query_prompt="Find valves.").encode_queries(queries).dense
    assert np.abs(other - expected).max() > 1e-3


def test_two_towers_behind_a_router(siglip, tiny_bert, tmp_path):
    words = Transformer(str(tiny_bert))
    towers = {"text": [words, Pooling(32, "mean"), Dense(32, 32)], "image": [Transformer(str(siglip))]}
    model = SentenceTransformer(modules=[Router(towers)])
    model.save_pretrained(str(tmp_path))
    encoder = encoder_of(tmp_path)
    expected = normalise(model.encode(["the red pump"])), normalise(model.encode(pillow(IMAGES)))
    assert encoder.encode_queries(["the red pump"]).dense == pytest.approx(expected[0], abs=1e-5)
    assert encoder.encode_images(IMAGES).dense == pytest.approx(expected[1], abs=1e-5)


def test_texts_of_another_model(clip, tiny_bert, tmp_path, monkeypatch):
    """A student that was taught to put texts where the images of another model are."""
    torch.manual_seed(0)
    student = [Transformer(str(tiny_bert)), Pooling(32, "mean"), Dense(32, 24)]
    SentenceTransformer(modules=student).save_pretrained(str(tmp_path))
    preset = ImagePreset("student", str(tmp_path), "MIT", 24, images=str(clip))
    monkeypatch.setattr("rag_plugins.models.visual.single.IMAGE_PRESETS", {"student": preset})
    encoder = ImageModelEncoder(ImageLeg(model="student"))
    expected = normalise(SentenceTransformer(str(tmp_path)).encode(["the red pump"]))
    assert encoder.encode_queries(["the red pump"]).dense == pytest.approx(expected, abs=1e-5)
    assert np.array_equal(encoder.encode_images(IMAGES).dense, encoder_of(clip).encode_images(IMAGES).dense)
    encoder.release()


def test_a_query_that_is_a_path_or_an_address_is_read_as_text(clip, qwen, tmp_path):
    path = tmp_path / "circle.png"
    path.write_bytes(IMAGES[0])
    for folder in (clip, qwen):
        encoder = encoder_of(folder, query_prompt="")
        for query in (str(path), "http://localhost/circle.png"):
            found = encoder.encode_queries([query]).dense[0]
            assert np.abs(found - encoder.encode_images(IMAGES[:1]).dense[0]).max() > 1e-3


def test_an_images_vector_does_not_depend_on_its_neighbours(clip, qwen, monkeypatch):
    sizes = []
    batches = trunk._batches
    monkeypatch.setattr(
        trunk, "_batches", lambda images: (sizes.append(len(b)) or b for b in batches(images))
    )
    for folder in (clip, qwen):
        encoder = encoder_of(folder)
        together = encoder.encode_images(IMAGES).dense
        with monkeypatch.context() as patch:
            patch.setattr(trunk, "_BATCH_PIXELS", 3_000)
            assert encoder.encode_images(IMAGES).dense == pytest.approx(together, abs=1e-4)
    assert sizes == [3, 1, 1, 1] * 2


def test_batches_are_bounded_by_pixels_and_by_number():
    sizes = [(4000, 3000), (1000, 1000), (2000, 2000), *[(2, 2)] * 70]
    images = iter([Image.new("1", size) for size in sizes])
    assert [len(batch) for batch in trunk._batches(images)] == [2, 32, 32, 7]


def test_a_page_is_found_by_what_is_drawn_on_it(tmp_path):
    encoder = encoder_of(save_trained_clip(tmp_path))
    drawn = [shape for shape in SHAPES for _ in range(5)]
    pages = encoder.encode_images([draw_shape(shape, seed) for seed, shape in enumerate(drawn, 1)]).dense
    queries = encoder.encode_queries([describe(shape) for shape in SHAPES]).dense
    assert [drawn[best] for best in (queries @ pages.T).argmax(axis=1)] == SHAPES
    right = [SHAPES[best] for best in (pages @ queries.T).argmax(axis=1)]
    assert sum(found == shape for found, shape in zip(right, drawn, strict=True)) >= 13


def test_nothing_in_nothing_out(clip):
    encoder = encoder_of(clip)
    assert encoder.encode_images([]).dense.shape == (0, 24)
    assert encoder.encode_queries([]).dense.shape == (0, 24)


def test_an_image_that_does_not_decode_is_named(clip):
    with pytest.raises(BadInput, match="image 2 of 3"):
        encoder_of(clip).encode_images([IMAGES[0], b"no image", IMAGES[1]])


def test_the_sides_do_not_mix(clip):
    encoder = encoder_of(clip)
    with pytest.raises(SideError):
        encoder.encode_queries([EmbedText("a circle")])
    with pytest.raises(SideError, match="a list"):
        encoder.encode_queries("a circle")
    for encode, given in ((encoder.encode_queries, ["a"]), (encoder.encode_images, IMAGES)):
        with pytest.raises(BadInput, match="sparse"):
            encode(given, SPARSE)


def test_a_model_that_reads_no_images_is_refused(tiny_bert):
    with pytest.raises(ConfigError, match=r"reads text, and no image: an image leg needs .* clip-ViT-B-32"):
        encoder_of(tiny_bert).encode_images(IMAGES)


def test_a_model_that_reads_no_texts_is_refused(tmp_path):
    from transformers import SiglipImageProcessorPil, SiglipVisionConfig, SiglipVisionModel

    eyes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    SiglipVisionModel(SiglipVisionConfig(**eyes, image_size=32, patch_size=8)).save_pretrained(tmp_path)
    SiglipImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="reads image, and no text"):
        encoder_of(tmp_path).encode_queries(["a"])


def test_an_unknown_name_is_refused_at_once():
    with pytest.raises(UnknownPreset, match="clip-ViT-B-32, clip-ViT-B-16"):
        encoder_of("clip")


def test_code_of_its_own_needs_permission(clip, tmp_path):
    folder = shutil.copytree(clip, tmp_path / "own")
    config = json.loads((folder / "config.json").read_text())
    own = {"model_type": "own", "auto_map": {"AutoConfig": "own.OwnConfig", "AutoModel": "own.OwnModel"}}
    (folder / "config.json").write_text(json.dumps(config | own))
    (folder / "own.py").write_text("raise SystemExit('run')")
    with pytest.raises(ConfigError, match="allow_remote_code"):
        encoder_of(folder).encode_images(IMAGES)


def test_torchvision_is_asked_for_where_nothing_else_helps(qwen, monkeypatch):
    """A processor that this one cannot do without."""
    from contextlib import nullcontext

    monkeypatch.setattr(trunk, "without_videos", nullcontext)
    with pytest.raises(MissingExtra, match="needs torchvision"):
        encoder_of(qwen).encode_images(IMAGES)


def test_fingerprints(clip, siglip, tmp_path):
    plain, moved = encoder_of(clip), encoder_of(shutil.copytree(clip, tmp_path / "moved"))
    assert plain.fingerprint == moved.fingerprint
    assert plain.fingerprint["dim"] == 24
    assert encoder_of(siglip).fingerprint != plain.fingerprint
    assert encoder_of(clip, query_prompt="a ").fingerprint != plain.fingerprint


def test_a_preset_says_what_it_is_without_loading():
    encoder = encoder_of("Qwen/Qwen3-VL-Embedding-2B")  # Not on this machine.
    assert (encoder.dim, encoder.matryoshka) == (2048, (256, 512, 1024, 2048))
    assert encoder.fingerprint == {
        "model": "Qwen3-VL-Embedding-2B",
        "dim": 2048,
        "query_prompt": "Retrieve images or text relevant to the user's query.",
        "image_prompt": "Represent the user's input.",
    }
    assert encoder_of("clip-ViT-B-32", matryoshka=(512, 64)).matryoshka == (64, 512)


def test_texts_of_another_model_are_as_wide_as_its_images():
    students = [preset for preset in IMAGE_PRESETS.values() if preset.images]
    assert [preset.name for preset in students] == ["clip-ViT-B-32-multilingual-v1"]
    for student in students:
        [teacher] = [preset for preset in IMAGE_PRESETS.values() if preset.hub_id == student.images]
        assert (student.dim, teacher.images) == (teacher.dim, None)


def test_it_runs_on_torch_and_says_why(clip, monkeypatch):
    monkeypatch.setattr("rag_plugins.models.compute.rule.find_spec", lambda name: True)
    leg = ImageLeg(model=str(clip))
    for settings in (ComputeConfig(), ComputeConfig(backend="openvino"), ComputeConfig(precision="int8")):
        choice = ImageModelEncoder(leg, settings).choice
        assert (choice.backend, choice.precision) == ("torch", "fp32")
        assert choice.why == "models of images run on torch alone"
    asked = ImageModelEncoder(leg, ComputeConfig(backend="torch")).choice
    assert asked.why == "torch was asked for, and fp32 loses nothing"


def test_bf16_changes_vectors_little(clip, qwen):
    from rag_plugins.models.compute.rule import Choice
    from rag_plugins.models.own_code import Permission

    choice = Choice("torch", "bf16", "cpu", 1024, "the test wants it")
    for folder in (clip, qwen):
        small = trunk.ImageTrunk.load(folder, frozenset({"text", "image"}), choice, Permission())
        exact = encoder_of(folder, query_prompt="").encode_queries(QUERIES).dense
        assert (small.texts(QUERIES, "") * exact).sum(axis=1).min() > 0.98
        pages = encoder_of(folder).encode_images(IMAGES).dense
        prompt = "" if folder == clip else "Represent the input."
        assert (small.images(IMAGES, prompt) * pages).sum(axis=1).min() > 0.98


def test_encoders_share_a_model_until_all_let_go(clip):
    first, second = encoder_of(clip), encoder_of(clip, query_prompt="a ")
    first.encode_images(IMAGES), second.encode_images(IMAGES)
    model = weakref.ref(first._images.get())
    assert second._images.get() is model()
    first.release()
    assert model() is not None
    second.release()
    assert model() is None
    assert first.encode_queries(["a"]).dense.shape == (1, 24)


def test_threads_share_one_model(clip):
    encoder = encoder_of(clip)
    expected = encoder.encode_queries(QUERIES).dense, encoder.encode_images(IMAGES).dense
    with ThreadPoolExecutor(4) as pool:
        texts = [pool.submit(encoder.encode_queries, QUERIES) for _ in range(8)]
        pages = [pool.submit(encoder.encode_images, IMAGES) for _ in range(8)]
        assert all(np.allclose(found.result().dense, expected[0], atol=1e-5) for found in texts)
        assert all(np.allclose(found.result().dense, expected[1], atol=1e-5) for found in pages)
