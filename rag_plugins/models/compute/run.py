"""A model's forward pass, replaced by one that runs as chosen."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from rag_plugins.errors import require
from rag_plugins.models.compute.convert import Unsuited, converted
from rag_plugins.models.compute.rule import Choice

__all__ = ["accelerate"]

_logger = logging.getLogger(__name__)


def accelerate(model: Any, choice: Choice, variant: str = "") -> Choice:
    """Make the transformers in a model run as chosen, and say what they now run on.

    `model` is one of transformers or of sentence-transformers, in fp32 and on its device. Their `forward`
    is replaced: same keyword arguments, same field (last_hidden_state or logits), float32. Where OpenVINO
    has the weights, torch's are freed. What cannot be converted stays as it is, on torch fp32, with the
    reason in `why` and in the log. `variant` names what was changed in it since it was loaded.
    """
    done = [_accelerated(transformer, choice, variant) for transformer in _transformers(model)]
    if not done:
        return replace(choice, backend="torch", precision="fp32", why="there is no transformer in it")
    return next((other for other in done if other != choice), choice)


def _transformers(model: Any) -> list[Any]:
    """The outermost of them: a classifier has its trunk within."""
    library: Any = require("transformers", extra="models")
    if isinstance(model, library.PreTrainedModel):
        return [model]
    return [found for part in model.children() for found in _transformers(part)]


def _accelerated(model: Any, choice: Choice, variant: str) -> Choice:
    if choice.backend == "openvino":
        return _on_openvino(model, choice, variant)
    if choice.precision == "bf16":
        _to_bf16(model)
    return choice


def _on_openvino(model: Any, choice: Choice, variant: str) -> Choice:
    reasons: list[str] = []
    # What bf16 or int8 would change too much may still run in fp32.
    for precision in dict.fromkeys((choice.precision, "fp32")):
        try:
            model.forward = converted(model, precision, variant)
        except Unsuited as reason:
            reasons.append(f"{precision}: {reason}")
            continue
        _free(model)
        return choice if not reasons else _instead(model, replace(choice, precision=precision), reasons)
    return _instead(model, replace(choice, backend="torch", precision="fp32"), reasons)


def _instead(model: Any, choice: Choice, reasons: list[str]) -> Choice:
    told = replace(
        choice, why=f"{type(model).__name__} does not run on OpenVINO as on torch ({'; '.join(reasons)})"
    )
    _logger.warning("%s", told)
    return told


def _free(model: Any) -> None:
    """Let go of torch's weights; the modules stay, for what asks them for their device or their widths."""
    import torch

    for parameter in model.parameters():
        parameter.data = torch.empty(0, dtype=parameter.dtype)


def _to_bf16(model: Any) -> None:
    import torch

    # Buffers stay: rotary frequencies in bf16 would confuse far positions.
    for parameter in model.parameters():
        if parameter.is_floating_point():
            parameter.data = parameter.data.to(torch.bfloat16)
    model.forward = partial(_forward, model.forward)


def _forward(forward: Any, *args: Any, **features: Any) -> Any:
    """What a model in bf16 gives for inputs in fp32, in fp32."""
    import torch

    output = forward(*args, **{name: _cast(value, torch.bfloat16) for name, value in features.items()})
    return type(output)(**{name: _cast(value, torch.float32) for name, value in _fields(output).items()})


def _fields(output: Mapping[str, Any]) -> dict[str, Any]:
    return dict(output.items())


def _cast(value: Any, kind: Any) -> Any:
    import torch

    return value.to(kind) if torch.is_tensor(value) and value.is_floating_point() else value
