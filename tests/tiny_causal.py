"""Tiny causal language models with random weights, and tokenizers like Qwen's and Gemma's."""

from pathlib import Path

from rag_plugins.models.presets import RERANKER_PRESETS

TEXT = "The pump is changed every month. Which valve is red? yes no Yes No 1 0"
SPLIT = "|".join(
    [
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)",
        r"[^\r\n\p{L}\p{N}]?\p{L}+",
        r"\p{N}",
        r" ?[^\s\p{L}\p{N}]+[\r\n]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<bos>"]


def make_bpe(*, padding: bool = True):
    """Byte-level, with the split and the special tokens of Qwen: a word has its blank space before it."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=900,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    templates = [segment for preset in RERANKER_PRESETS.values() for segment in preset.template]
    tokenizer.train_from_iterator([TEXT, *templates, "yes", "no", "Yes", "No", "1", "0"], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>" if padding else None,
        model_max_length=512,
    )


def save_causal(folder: Path, kind: str, *, padding: bool = True, seed: int = 0) -> Path:
    """A Qwen2, Qwen3 or Gemma that reads 512 tokens; `padding`: whether its tokenizer has a token for it."""
    import torch
    import transformers

    torch.manual_seed(seed)
    tokenizer = make_bpe(padding=padding)
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        intermediate_size=64,
        max_position_embeddings=512,
        initializer_range=0.5,  # Large, so that different texts get clearly different scores.
        tie_word_embeddings=False,
        pad_token_id=None,
        bos_token_id=None,
        eos_token_id=None,
    )
    getattr(transformers, f"{kind}ForCausalLM")(config).eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
