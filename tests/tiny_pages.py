"""Tiny late-interaction models of pages: real architectures, random weights, nothing of torchvision."""

from io import BytesIO
from pathlib import Path

import numpy as np

TEXT = "Question: Query: Describe the image. User Assistant which valve is red? the pump turns every month"
_SPLITS = [f"<row_{row + 1}_col_{column + 1}>" for row in range(6) for column in range(6)]
SPECIAL = {
    "colpali": ["<pad>", "<eos>", "<bos>", "<image>"],
    "colqwen2": [
        "<|endoftext|>",
        "<|im_start|>",
        "<|im_end|>",
        "<|vision_start|>",
        "<|vision_end|>",
        "<|image_pad|>",
    ],
    "colmodernvbert": [
        "<pad>",
        "<|begin_of_text|>",
        "<fake_token_around_image>",
        "<image>",
        "<end_of_utterance>",
        "<global-img>",
        *_SPLITS,
    ],
}
_EYES = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "patch_size": 8,
}
_MIND = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
_RANGE = {"initializer_range": 0.5}


def make_tokenizer(kind: str):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=SPECIAL[kind],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([TEXT], trainer)
    bos = {"bos_token": "<bos>"} if kind == "colpali" else {}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=SPECIAL[kind][0],
        eos_token=SPECIAL[kind][1],
        model_max_length=512,
        **bos,
    )


def save_colpali(folder: Path) -> Path:
    """Images of 16 patches."""
    import torch
    from transformers import ColPaliConfig, ColPaliForRetrieval, ColPaliProcessor, SiglipImageProcessorPil

    images = SiglipImageProcessorPil(size={"height": 32, "width": 32}, image_seq_length=16)
    processor = ColPaliProcessor(images, make_tokenizer("colpali"))
    vocabulary = len(processor.tokenizer)
    torch.manual_seed(0)
    config = ColPaliConfig(
        vlm_config={
            "model_type": "paligemma",
            "text_config": {
                "model_type": "gemma",
                "vocab_size": vocabulary,
                "num_key_value_heads": 1,
                "head_dim": 8,
                **_MIND,
                **_RANGE,
            },
            "vision_config": {
                "model_type": "siglip_vision_model",
                "image_size": 32,
                "vision_use_head": False,
                **_EYES,
                **_RANGE,
            },
            "image_token_index": processor.image_token_id,
            "image_token_id": processor.image_token_id,
            "projection_dim": 16,
            "vocab_size": vocabulary,
        },
        embedding_dim=16,
    )
    return _save(folder, ColPaliForRetrieval(config), processor)


def save_colqwen2(folder: Path) -> Path:
    """Patches of 4 pixels, four of them a token."""
    import torch
    from transformers import ColQwen2Config, ColQwen2ForRetrieval, ColQwen2Processor, Qwen2VLImageProcessorPil

    patches = {"patch_size": 4, "temporal_patch_size": 2}
    images = Qwen2VLImageProcessorPil(
        **patches, merge_size=2, size={"shortest_edge": 64, "longest_edge": 2048}
    )
    processor = ColQwen2Processor(images, make_tokenizer("colqwen2"))
    start, _, image = processor.tokenizer.convert_tokens_to_ids(SPECIAL["colqwen2"][3:])
    rotary = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e4}
    torch.manual_seed(0)
    config = ColQwen2Config(
        vlm_config={
            "model_type": "qwen2_vl",
            "text_config": {
                "vocab_size": len(processor.tokenizer),
                "num_key_value_heads": 1,
                "rope_parameters": rotary,
                **_MIND,
                **_RANGE,
            },
            "vision_config": {
                "depth": 1,
                "embed_dim": 16,
                "hidden_size": 16,
                "num_heads": 2,
                "mlp_ratio": 2,
                "spatial_merge_size": 2,
                **patches,
                **_RANGE,
            },
            "image_token_id": image,
            "vision_start_token_id": start,
        },
        embedding_dim=16,
        **_RANGE,
    )
    return _save(folder, ColQwen2ForRetrieval(config), processor)


def save_colmodernvbert(folder: Path) -> Path:
    """Images cut into squares of 32 pixels, four tokens each, beside the whole."""
    import torch
    from transformers import (
        ColModernVBertConfig,
        ColModernVBertForRetrieval,
        ColModernVBertProcessor,
        Idefics3ImageProcessorPil,
    )

    images = Idefics3ImageProcessorPil(size={"longest_edge": 64}, max_image_size={"longest_edge": 32})
    processor = ColModernVBertProcessor(images, make_tokenizer("colmodernvbert"), image_seq_len=4)
    torch.manual_seed(0)
    config = ColModernVBertConfig(
        vlm_config={
            "model_type": "modernvbert",
            "text_config": {
                "model_type": "modernbert",
                "vocab_size": len(processor.tokenizer),
                "pad_token_id": 0,
                **_MIND,
                **_RANGE,
            },
            "vision_config": {"model_type": "siglip_vision_model", "image_size": 32, **_EYES, **_RANGE},
            "image_token_id": processor.image_token_id,
            "pixel_shuffle_factor": 2,
            **_RANGE,
        },
        embedding_dim=16,
        **_RANGE,
    )
    return _save(folder, ColModernVBertForRetrieval(config), processor)


def _save(folder, model, processor) -> Path:
    model.eval().save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def picture(seed: int, width: int = 48, height: int = 40) -> bytes:
    """A PNG of coloured noise in blocks."""
    from PIL import Image

    blocks = np.random.default_rng(seed).integers(0, 255, (5, 6, 3), dtype=np.uint8)
    buffer = BytesIO()
    Image.fromarray(blocks).resize((width, height), Image.Resampling.NEAREST).save(buffer, "PNG")
    return buffer.getvalue()


SAVED = {"colpali": save_colpali, "colqwen2": save_colqwen2, "colmodernvbert": save_colmodernvbert}
"""What saves a model of each kind to a folder."""
