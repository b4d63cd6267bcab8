"""Sequence classifiers that read the first token only: their last layer made to compute no other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["read_first_token_only"]

# Classifiers whose head reads the first token, and whose layers are BERT's under another name.
_LAYERS: Mapping[str, str] = {
    f"transformers.models.{module}.{name}ForSequenceClassification": (
        f"transformers.models.{module}.{name}Layer"
    )
    for module, name in (
        ("bert.modeling_bert", "Bert"),
        ("camembert.modeling_camembert", "Camembert"),
        ("electra.modeling_electra", "Electra"),
        ("ernie.modeling_ernie", "Ernie"),
        ("roberta.modeling_roberta", "Roberta"),
        ("xlm_roberta.modeling_xlm_roberta", "XLMRoberta"),
    )
}
_ATTENTIONS = ("sdpa", "eager")
"""Those whose masks have four dimensions, or are None."""


def read_first_token_only(model: Any) -> bool:
    """Make the last layer of a transformers classifier compute the first token alone, as its head reads it.

    Hidden states after it have shape (batch, 1, dim). Lossless: logits are compared with those of the full
    layer on padded input. False, and the model as it was, where it is of another kind or they differ.
    The model is put into evaluation mode.
    """
    layer = _last_layer(model.eval())
    if layer is None:
        return False
    inputs = _padded_input(model)
    full = _logits(model, inputs)
    layer.forward = _FirstToken(layer)
    if _equal(_logits(model, inputs), full):
        return True
    del layer.forward
    return False


class _FirstToken:
    """A layer's forward for the first token, to which keys and values of the others are not needed.

    q·(K h + b) = (Kᵀ q)·h + q·b, of which softmax ignores what is the same for every h; and as its weights
    sum to 1, Σ w (V h + b) = V (Σ w h) + b. So each head reads hidden states as they are, and two
    projections of every token become two of one.
    """

    def __init__(self, layer: Any) -> None:
        self._layer = layer

    def __call__(self, hidden: Any, mask: Any = None, *_: Any, **__: Any) -> Any:
        import torch

        attention = self._layer.attention.self
        heads = (attention.num_attention_heads, attention.attention_head_size)
        first = hidden[:, :1]
        query = attention.query(first).unflatten(-1, heads)
        key, value = (part.weight.unflatten(0, heads) for part in (attention.key, attention.value))
        # Heads stand where queries do: all of one text read the same states.
        read = torch.nn.functional.scaled_dot_product_attention(
            torch.einsum("bnhe,hed->bnhd", query, key),
            hidden[:, None],
            hidden[:, None],
            attn_mask=None if mask is None else mask[:, :, :1],
            scale=attention.scaling,
        )
        context = torch.einsum("bnhd,hed->bnhe", read, value).flatten(2) + attention.value.bias
        return self._layer.feed_forward_chunk(self._layer.attention.output(context, first))


def _last_layer(model: Any) -> Any | None:
    """The layer to change; None where the model is of another kind."""
    kind = _LAYERS.get(_name(model))
    config = model.config
    if kind is None or config.is_decoder or config._attn_implementation not in _ATTENTIONS:
        return None
    layer = model.base_model.encoder.layer[-1]
    return layer if _name(layer) == kind else None


def _name(module: Any) -> str:
    return f"{type(module).__module__}.{type(module).__qualname__}"


def _padded_input(model: Any) -> Mapping[str, Any]:
    """Three texts of random tokens, of 12, 7 and 3."""
    import torch

    lengths = torch.tensor([[12], [7], [3]])
    ids = torch.randint(0, model.config.vocab_size, (3, 12), generator=torch.Generator().manual_seed(0))
    padding = model.config.pad_token_id or 0
    # Positions of RoBERTa and its kin skip every token that looks like padding.
    ids[ids == padding] = (padding + 1) % model.config.vocab_size
    mask = torch.arange(12) < lengths
    ids[~mask] = padding
    return {"input_ids": ids.to(model.device), "attention_mask": mask.long().to(model.device)}


def _logits(model: Any, inputs: Mapping[str, Any]) -> Any:
    import torch

    with torch.inference_mode():
        return model(**inputs).logits


def _equal(ours: Any, full: Any) -> bool:
    """To 1e-5 of the largest logit, or of 1; narrower numbers to four of their own steps."""
    import torch

    allowed = max(1e-5, 4 * torch.finfo(full.dtype).eps) * max(1.0, full.abs().max().item())
    return bool((ours - full).abs().max().item() <= allowed)
