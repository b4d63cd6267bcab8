"""Tiny models of texts and images beside CLIP: real architectures, their processors, pictures to read."""

import json
from io import BytesIO
from pathlib import Path

import numpy as np
from tiny_causal import make_bpe
from tiny_clip import LENGTH, SIZES, make_clip_tokenizer

VISION = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
CHAT = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.content is string %}{{ m.content }}{% else %}"
    "{% for c in m.content %}"
    "{% if c.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ c.text }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
)


def picture(width, height, seed=0, **options):
    """Noise, encoded as PNG or another `format`."""
    from PIL import Image

    values = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    buffer = BytesIO()
    Image.fromarray(values).save(buffer, options.pop("format", "PNG"), **options)
    return buffer.getvalue()


def save_siglip(folder: Path, *, projection: int = 32, eyes: int = 32) -> Path:
    """One that reads padding too; `projection` and `eyes`: widths of vectors of texts and of images."""
    import torch
    from transformers import SiglipConfig, SiglipImageProcessorPil, SiglipModel, SiglipProcessor

    tokenizer = make_clip_tokenizer()
    torch.manual_seed(0)
    ids = {"bos_token_id": 1, "eos_token_id": 3, "pad_token_id": 0}
    words = {"vocab_size": len(tokenizer), "max_position_embeddings": LENGTH, **ids}
    config = SiglipConfig(
        text_config={**SIZES, **words, "projection_size": projection},
        vision_config={**SIZES, "hidden_size": eyes, "image_size": 32, "patch_size": 8},
    )
    images = SiglipImageProcessorPil(size={"height": 32, "width": 32})
    SiglipModel(config).eval().save_pretrained(folder)
    SiglipProcessor(images, tokenizer).save_pretrained(folder)
    return folder


def save_qwen3_vl(folder: Path) -> Path:
    """Model, tokenizer and image processor; nothing of what sentence-transformers adds."""
    import torch
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
    return folder


def name_processor(folder: Path, config) -> None:
    """As hub folders name it: with a part for videos."""
    videos = {"video_processor_type": "Qwen3VLVideoProcessor", "patch_size": 4}
    named = config | {"processor_class": "Qwen3VLProcessor", "video_processor": videos}
    (folder / "processor_config.json").write_text(json.dumps(named))
