"""Tiny sequence classifiers with random weights: architectures and tokenizers that cross-encoders have."""

from pathlib import Path

from tiny_causal import make_bpe
from tiny_models import M3_WORDS, WORDS

POSITIONS = 128

_SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": POSITIONS,
    "initializer_range": 0.3,  # Large, so that different texts get clearly different scores.
}


def _wordpieces(name):
    import transformers

    vocabulary = {word: n for n, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS])}
    return getattr(transformers, name)(vocab=vocabulary)


def _unigram(name, special):
    import transformers

    words = [(f"\u2581{word}", -3.0) for word in M3_WORDS]
    letters = [(letter, -8.0) for letter in "\u2581abcdefghijklmnopqrstuvwxyz.,:?水"]
    vocabulary = [*[(token, 0.0) for token in special], *words, *letters]
    return getattr(transformers, name)(vocab=vocabulary)


def _bytes(name):
    """Byte-level, without merges: every byte is a token."""
    import transformers
    from tokenizers.pre_tokenizers import ByteLevel

    tokens = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *sorted(ByteLevel.alphabet())]
    return getattr(transformers, name)(vocab={token: n for n, token in enumerate(tokens)}, merges=[])


def _modern():
    """Byte-level with BERT's markers, without types."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE(vocab={token: n for n, token in enumerate(tokens)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_input_names=["input_ids", "attention_mask"],
    )


_M3 = ("<s>", "<pad>", "</s>", "<unk>")
_ROBERTA = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "max_position_embeddings": POSITIONS + 2}

KINDS = {
    "Bert": (lambda: _wordpieces("BertTokenizer"), {}),
    "Electra": (lambda: _wordpieces("ElectraTokenizer"), {"embedding_size": 16}),
    "DistilBert": (
        lambda: _wordpieces("DistilBertTokenizer"),
        {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64},
    ),
    "Roberta": (lambda: _bytes("RobertaTokenizer"), {**_ROBERTA, "type_vocab_size": 1}),
    "XLMRoberta": (lambda: _unigram("XLMRobertaTokenizer", _M3), {**_ROBERTA, "type_vocab_size": 1}),
    "DebertaV2": (
        lambda: _unigram("DebertaV2Tokenizer", ("[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]")),
        {
            "relative_attention": True,
            "pos_att_type": ["p2c", "c2p"],
            "position_biased_input": False,
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
            "type_vocab_size": 0,
        },
    ),
    "ModernBert": (_modern, {"pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3, "local_attention": 16}),
}


def save_classifier(folder: Path, kind: str, *, seed: int = 0, **settings) -> Path:
    """A classifier with one label that reads 128 tokens."""
    import torch
    import transformers

    torch.manual_seed(seed)
    make, own = KINDS[kind]
    tokenizer = make()
    tokenizer.model_max_length = POSITIONS
    sizes = {**_SIZES, "vocab_size": len(tokenizer), "num_labels": 1, **own, **settings}
    if kind == "DistilBert":
        for name in ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"):
            del sizes[name]
    config = getattr(transformers, f"{kind}Config")(**sizes)
    model = getattr(transformers, f"{kind}ForSequenceClassification")(config)
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_learned_positions(folder: Path, kind: str = "GPT2") -> Path:
    """A causal model that knows places by learned vectors, as none since GPT-2."""
    import torch
    import transformers

    torch.manual_seed(0)
    tokenizer = make_bpe()
    sizes = {"n_positions": 512, "n_embd": 32, "n_layer": 2, "n_head": 4, "initializer_range": 0.5}
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=len(tokenizer), bos_token_id=None, eos_token_id=None, **sizes
    )
    getattr(transformers, f"{kind}LMHeadModel")(config).eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_unpadded_classifier(folder: Path, ending: str) -> Path:
    """A Qwen2 that scores a pair by its last token, without a token to pad with; pairs may end with one."""
    import torch
    from tokenizers.processors import TemplateProcessing
    from transformers import Qwen2Config, Qwen2ForSequenceClassification

    torch.manual_seed(0)
    tokenizer = make_bpe(padding=False)
    if ending:
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
            single=f"$A {ending}",
            pair=f"$A $B {ending}",
            special_tokens=[(ending, tokenizer.convert_tokens_to_ids(ending))],
        )
    sizes = {**_SIZES, "num_key_value_heads": 2, "max_position_embeddings": 512, "num_labels": 1}
    config = Qwen2Config(
        vocab_size=len(tokenizer), pad_token_id=None, bos_token_id=None, eos_token_id=None, **sizes
    )
    Qwen2ForSequenceClassification(config).eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
