"""Tiny BERTs with random weights: real architectures and tokenizers, made on the spot."""

from pathlib import Path

WORDS = [
    "query",
    "passage",
    "the",
    "filter",
    "pump",
    "valve",
    "is",
    "changed",
    "every",
    "month",
    "##s",
    "##ing",
    "red",
    "blue",
    "green",
    ":",
    "?",
    ".",
    ",",
    "水",
]


def make_tokenizer():
    from tokenizers import Tokenizer
    from tokenizers.models import WordPiece
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {word: n for n, word in enumerate([*special, *WORDS])}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer()
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=64,
    )


def save_bert(folder: Path, *, labels: int | None = None, seed: int = 0) -> Path:
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertModel

    torch.manual_seed(seed)
    tokenizer = make_tokenizer()
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.5,  # Large, so that different texts get clearly different vectors.
        **({"num_labels": labels} if labels else {}),
    )
    model = BertForSequenceClassification(config) if labels else BertModel(config)
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


M3_WORDS = ["the", "filter", "pump", "valve", "is", "changed", "every", "month", "red", "blue", "green"]


def make_m3_tokenizer():
    """A Unigram model with XLM-RoBERTa's special tokens: whole words, their letters, a little Chinese."""
    from transformers import XLMRobertaTokenizer

    words = [(f"\u2581{word}", -3.0) for word in M3_WORDS]
    letters = [(letter, -8.0) for letter in "\u2581abcdefghijklmnopqrstuvwxyz.,:?水阀"]
    special = [(token, 0.0) for token in ("<s>", "<pad>", "</s>", "<unk>")]
    return XLMRobertaTokenizer(
        vocab=[*special, *words, ("s", -2.0), *[pair for pair in letters if pair[0] != "s"], ("<mask>", 0.0)],
        model_max_length=64,
    )


def save_m3(folder: Path, *, width: int = 32, seed: int = 0) -> Path:
    """A BGE-M3 that reads 64 tokens, as FlagEmbedding saves one: both heads as pickles."""
    import torch
    from transformers import XLMRobertaConfig, XLMRobertaModel

    torch.manual_seed(seed)
    tokenizer = make_m3_tokenizer()
    config = XLMRobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=66,
        initializer_range=0.5,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
    )
    XLMRobertaModel(config).eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for name, rows in (("sparse_linear", 1), ("colbert_linear", width)):
        torch.save(torch.nn.Linear(width, rows).state_dict(), folder / f"{name}.pt")
    return folder
