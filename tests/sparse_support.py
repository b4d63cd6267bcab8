"""A SPLADE model made on the spot: a real architecture and tokenizer, random weights."""

import numpy as np

WORDS = ["the", "pump", "valve", "filter", "lamp", "tank", "red", "blue", "water", "change", "month", "."]


def tiny_splade(folder):
    """A masked-LM with its head in a folder; the folder."""
    import torch
    from transformers import BertConfig, BertForMaskedLM, BertTokenizerFast

    torch.manual_seed(0)
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    BertTokenizerFast(vocab={piece: number for number, piece in enumerate(pieces)}).save_pretrained(folder)
    config = BertConfig(
        vocab_size=5 + len(WORDS),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        initializer_range=0.5,  # Large, so that different texts get clearly different weights.
    )
    BertForMaskedLM(config).eval().save_pretrained(folder)
    return folder


def by_hand(folder, text):
    """SPLADE's max over positions i of log(1 + ReLU(w_ij)), {j: weight} of those above 0."""
    import torch
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    encoded = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt", return_token_type_ids=False)
    with torch.inference_mode():
        logits = AutoModelForMaskedLM.from_pretrained(folder).eval()(**encoded).logits[0]
    weights = logits.clamp(min=0).add(1).log().max(dim=0).values.numpy()
    return {int(token): float(weights[token]) for token in np.flatnonzero(weights)}


def inner(left, right):
    """The inner product of two sparse vectors."""
    return sum(weight * right.get(token, 0.0) for token, weight in left.items())
