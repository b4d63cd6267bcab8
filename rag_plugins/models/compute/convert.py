"""A transformer of torch as one of OpenVINO, checked against it."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any

from rag_plugins.config.compute import Precision
from rag_plugins.errors import require
from rag_plugins.models.backend import first_line
from rag_plugins.models.compute.graphs import finite_masks, quantise
from rag_plugins.models.compute.kept import Kept
from rag_plugins.models.compute.requests import Compiled, compiled
from rag_plugins.models.compute.runtime import runtime

__all__ = ["Unsuited", "converted"]

_INPUTS: tuple[str, ...] = ("input_ids", "attention_mask", "token_type_ids")

_TOLERANCE: dict[Precision, float] = {"fp32": 1e-3, "bf16": 0.05, "int8": 0.2}
"""Of the norm of what torch gives, and as much more as if each number were 1 larger."""

_LONG = 160
"""Tokens: longer than the local windows of models that have some."""

# Tracing changes what transformers does in the whole process.
_tracing = Lock()


class Unsuited(Exception):
    """Why a model cannot run on OpenVINO."""


@dataclass(frozen=True, slots=True)
class _Signature:
    """What goes in, what comes out, and what it is called with besides."""

    inputs: tuple[str, ...]
    output: str
    options: dict[str, Any]

    @property
    def causal(self) -> bool:
        return "logits_to_keep" in self.options


def converted(model: Any, precision: Precision, variant: str) -> Compiled:
    """A forward pass with torch's weights and OpenVINO's kernels. Raises `Unsuited` where they differ."""
    try:
        with _tracing, _unheard():
            return _converted(model, precision, variant)
    except Unsuited:
        raise
    except Exception as error:  # Tracing and converting raise whatever a model's code comes to.
        raise Unsuited(f"{type(error).__name__}: {first_line(error)}") from error


@contextmanager
def _unheard() -> Generator[None]:
    """Tracing asks a model for all that it has, and some of that warns."""
    logging: Any = require("transformers.utils.logging", extra="models")
    heard: int = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(heard)


def _converted(model: Any, precision: Precision, variant: str) -> Compiled:
    signature = _signature(model)
    kept = Kept.of(model, precision, *signature.inputs, signature.output, variant)
    if found := kept.read():
        try:
            return _checked(model, signature, found, precision, (9,))
        except Exception:  # A damaged file raises whatever it comes to, or gives nonsense.
            kept.drop()
    made = kept.write(_traced(model, signature))
    try:
        return _checked(model, signature, made, precision, (9, _long(model)))
    except Exception:
        kept.drop()
        raise


def _checked(
    model: Any, signature: _Signature, graph: Any, precision: Precision, lengths: tuple[int, ...]
) -> Compiled:
    if precision == "int8":
        quantise(graph)
    made = compiled(graph, precision, signature.output)
    for length in lengths:
        _compare(model, signature, made, precision, length)
    return made


def _signature(model: Any) -> _Signature:
    declared = inspect.signature(model.forward).parameters
    if "pixel_values" in declared or "input_features" in declared or "input_ids" not in declared:
        raise Unsuited("it reads more than text")
    if type(model).__module__.split(".")[0] != "transformers":
        raise Unsuited("it runs code of its own")
    if model.config.output_hidden_states or model.config.output_attentions:
        raise Unsuited("what is read of it are more than its last states")
    rotary = (getattr(model.config, "rope_parameters", None) or {}).get("rope_type", "default")
    if rotary in ("dynamic", "longrope"):
        raise Unsuited(f"its rotary positions ({rotary}) change with the length of a text")
    options = {
        name: value for name, value in (("use_cache", False), ("logits_to_keep", 1)) if name in declared
    }
    output = "last_hidden_state" if model is model.base_model else "logits"
    return _Signature(tuple(name for name in _INPUTS if name in declared), output, options)


def _traced(model: Any, signature: _Signature) -> Any:
    """As `openvino.convert_model` does, which would call home."""
    frontend, decoder = (runtime(f"openvino.frontend{part}") for part in ("", ".pytorch.ts_decoder"))
    import torch

    class Trace(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any = None, token_type_ids: Any = None) -> Any:
            given = dict(zip(_INPUTS, (input_ids, attention_mask, token_type_ids), strict=True))
            features = {name: given[name] for name in signature.inputs}
            return self.model(**features, **signature.options, return_dict=True)[signature.output]

    with torch.no_grad():
        trace = decoder.TorchScriptPythonDecoder(Trace(), example_input=_example(model, signature, 7))
        reader = frontend.FrontEndManager().load_by_framework("pytorch")
        graph = reader.convert(reader.load(trace))
    finite_masks(graph)
    return graph


def _example(model: Any, signature: _Signature, length: int) -> dict[str, Any]:
    """Any tokens in three rows, all of the last; the first two have a third of padding, left and right."""
    import torch

    config = model.config.get_text_config()
    drawn = torch.Generator().manual_seed(length)
    padding = config.pad_token_id or 0
    ids = torch.randint(0, config.vocab_size, (3, length), generator=drawn)
    ids[ids == padding] = (padding + 1) % config.vocab_size
    kinds = max(getattr(config, "type_vocab_size", None) or 1, 1)
    types = torch.randint(0, min(kinds, 2), (3, length), generator=drawn)
    mask = torch.ones_like(ids)
    left, right = slice(None, length // 3), slice(-(length // 3), None)
    for row, blank in enumerate((left, left if signature.causal else right)):
        ids[row, blank], mask[row, blank], types[row, blank] = padding, 0, 0
    features = dict(zip(_INPUTS, (ids, mask, types), strict=True))
    return {name: features[name] for name in signature.inputs}


def _long(model: Any) -> int:
    positions: int | None = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    # RoBERTa and its kin begin to count after the padding's row.
    return min(_LONG, positions - 4) if positions and positions > 4 else _LONG


def _compare(model: Any, signature: _Signature, made: Compiled, precision: Precision, length: int) -> None:
    import torch

    example = _example(model, signature, length)
    with torch.inference_mode():
        expected = model(**example, **signature.options, return_dict=True)[signature.output].float()
        got = made(**example)[signature.output]
    mask = example["attention_mask"].bool()
    if expected.ndim == 2:  # A classifier reads the first token, which is never padding.
        expected, got = expected[mask[:, 0]], got[mask[:, 0]]
    elif expected.shape[1] == length:  # What padding gives is read by nobody.
        expected, got = expected[mask], got[mask]
    off = float((got - expected).norm() / (expected.norm() + expected.numel() ** 0.5))
    if not off <= _TOLERANCE[precision]:  # Also where it is not a number.
        raise Unsuited(f"at {length} tokens its outputs are off by {off:.2g} of their size")
