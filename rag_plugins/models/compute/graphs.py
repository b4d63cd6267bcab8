"""What is changed in a converted model."""

from __future__ import annotations

from typing import Any

import numpy as np

from rag_plugins.models.compute.runtime import runtime
from rag_plugins.vectors import Matrix

__all__ = ["finite_masks", "quantise"]

_MASKED = -1e9
"""Added to the score of a token that is not to be seen; exp of it is 0."""

_CHANNELS = 16
"""Fewer, the one score of a classifier for one, are no work, and OpenVINO gets a single one wrong."""


def finite_masks(graph: Any) -> None:
    """Let a token that may see no other (padding, mostly) see all alike, in place.

    With -inf for all of them it becomes no number, and so do those that later see it with a weight of 0.
    """
    operations = runtime("openvino.opset13")
    seen, unseen = (operations.constant(np.float32(value)) for value in (0.0, _MASKED))
    for node in graph.get_ordered_ops():
        if node.get_type_name() == "ScaledDotProductAttention" and node.get_input_size() > 3:
            mask = node.input(3).get_source_output()
            if not mask.get_element_type().is_real():
                node.input(3).replace_source_output(operations.select(mask, seen, unseen).output(0))


def quantise(graph: Any) -> None:
    """Weights in 8 bits, in place: w = scale * q, q in -127 to 127, each output channel with its own scale.

    One scale for a whole matrix would lose .06 of cosine. OpenVINO quantises activations as they come.
    """
    for node in graph.get_ordered_ops():
        if node.get_type_name() == "MatMul":
            constant = node.input(1).get_source_output().get_node()
            channels = 0 if node.get_attributes()["transpose_b"] else 1
            if _is_matrix(constant) and constant.shape[channels] >= _CHANNELS:
                node.input(1).replace_source_output(_dequantised(constant.data, channels).output(0))


def _is_matrix(node: Any) -> bool:
    return node.get_type_name() == "Constant" and len(node.shape) == 2


def _dequantised(weights: Matrix, channels: int) -> Any:
    """What OpenVINO recognises as a matrix in 8 bits."""
    operations = runtime("openvino.opset13")
    largest = np.abs(weights).max(axis=1 - channels, keepdims=True)
    scale = np.maximum(largest / 127, np.finfo(np.float32).tiny)
    whole = np.rint(weights / scale).astype(np.int8)
    return operations.multiply(
        operations.convert(operations.constant(whole), "f32"), operations.constant(scale.astype(np.float32))
    )
