"""A tiny CLIP, random or trained in seconds to tell shapes, and pages with these shapes."""

from io import BytesIO
from pathlib import Path

import numpy as np

SHAPES = ["circle", "square", "cross"]
LENGTH = 16
"""Tokens of a text that it reads."""

SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}


def make_clip_tokenizer():
    """Byte-level, lower case, with a token of beginning and one of end."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<pad>", "<bos>", "<unk>", "<eos>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["a page with a circle, a square or a cross", "query: "], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=[("<bos>", 1), ("<eos>", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        model_max_length=77,  # Of CLIP itself: more than this one has positions for.
    )


def make_clip(*, seed: int = 0):
    """A CLIP of 53,000 weights that reads 16 tokens and images of 32 x 32, with its processor."""
    import torch
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPProcessor

    tokenizer = make_clip_tokenizer()
    torch.manual_seed(seed)
    ids = {"bos_token_id": 1, "eos_token_id": 3, "pad_token_id": 0}
    words = {"vocab_size": len(tokenizer), "max_position_embeddings": LENGTH, **ids}
    config = CLIPConfig(
        text_config={**SIZES, **words},
        vision_config={**SIZES, "image_size": 32, "patch_size": 8},
        projection_dim=24,
    )
    square = {"height": 32, "width": 32}
    processor = CLIPProcessor(CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=square), tokenizer)
    return CLIPModel(config).eval(), processor


def save_clip(folder: Path) -> Path:
    """As transformers saves one."""
    for part in make_clip():
        part.save_pretrained(folder)
    return folder


def save_trained_clip(folder: Path) -> Path:
    """One that puts "a page with a circle" where pages with a circle are; takes two seconds."""
    import torch
    from torch.nn import functional

    model, processor = make_clip()
    processor.image_processor.image_mean, processor.image_processor.image_std = [1.0] * 3, [0.25] * 3
    model.vision_model.embeddings.patch_embedding.weight.data.mul_(5)
    model.text_model.requires_grad_(False)
    learning = [weight for weight in model.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(learning, lr=1e-3)
    texts = processor(text=[describe(shape) for shape in SHAPES], return_tensors="pt", padding=True)
    rng = np.random.default_rng(0)
    for _ in range(150):
        kinds = rng.integers(0, len(SHAPES), 24)
        pixels = processor(images=[_drawn(SHAPES[kind], rng) for kind in kinds], return_tensors="pt")
        pages = functional.normalize(model.get_image_features(**pixels).pooler_output, dim=-1)
        words = functional.normalize(model.get_text_features(**texts).pooler_output, dim=-1)
        optimiser.zero_grad()
        functional.cross_entropy(20 * pages @ words.T, torch.from_numpy(kinds)).backward()
        optimiser.step()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def describe(shape: str) -> str:
    return f"a page with a {shape}"


def draw_shape(shape: str, seed: int) -> bytes:
    """A page with a shape somewhere on it and no text, as PNG."""
    buffer = BytesIO()
    _drawn(shape, np.random.default_rng(seed)).save(buffer, "PNG")
    return buffer.getvalue()


def _drawn(shape: str, rng):
    from PIL import Image, ImageDraw

    page = Image.new("RGB", (64, 64), "white")
    pen = ImageDraw.Draw(page)
    (left, top), side = rng.integers(4, 30, 2).tolist(), int(rng.integers(20, 30))
    box = (left, top, left + side, top + side)
    ink = {"fill": "black", "width": 4}
    if shape == "circle":
        pen.ellipse(box, outline="black", width=4)
    elif shape == "square":
        pen.rectangle(box, outline="black", width=4)
    else:
        pen.line(box, **ink)
        pen.line((left, top + side, left + side, top), **ink)
    return page
