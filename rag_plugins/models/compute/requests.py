"""A compiled model of OpenVINO that stands for a model's forward pass."""

from __future__ import annotations

from typing import Any

from rag_plugins.config.compute import Precision
from rag_plugins.errors import BadInput, require
from rag_plugins.models.compute.rule import BF16, cores, processor
from rag_plugins.models.compute.runtime import core

__all__ = ["Compiled", "compiled"]

_STREAMS = 4
"""Calls that run side by side at most; each has working memory of its own."""

_GROUP = 128
"""Activations that share a scale in int8."""

_SHAPES = 256
"""Kernels kept for shapes that come again: without a bound, memory would grow with every new shape."""


class Compiled:
    """Called as a model's forward, from any number of threads at once; gives float32."""

    def __init__(self, model: Any, output: str) -> None:
        """`output` is the field that the model's only output is given as."""
        outputs: Any = require("transformers.modeling_outputs", extra="models")
        kinds = {"last_hidden_state": outputs.BaseModelOutput, "logits": outputs.SequenceClassifierOutput}
        self._model = model
        self._output = output
        self._kind = kinds[output]
        self._names: list[str] = [port.any_name for port in model.inputs]
        self._idle: list[Any] = []

    def __call__(self, input_ids: Any, attention_mask: Any = None, **others: Any) -> Any:
        """Raises `BadInput` for a tensor that models converted here do not read."""
        import torch

        token_types = others.pop("token_type_ids", None)
        if unread := [name for name, value in others.items() if torch.is_tensor(value)]:
            raise BadInput(f"got {unread}, and on OpenVINO a model reads only {self._names}")
        features = {
            "input_ids": input_ids,
            "attention_mask": torch.ones_like(input_ids) if attention_mask is None else attention_mask,
            "token_type_ids": torch.zeros_like(input_ids) if token_types is None else token_types,
        }
        numbers = self._infer({name: features[name].numpy() for name in self._names})
        return self._kind(**{self._output: torch.from_numpy(numbers)})

    def _infer(self, arrays: dict[str, Any]) -> Any:
        # A request serves one call at a time; there are as many as calls that ever ran at once.
        try:
            request = self._idle.pop()
        except IndexError:
            request = self._model.create_infer_request()
        try:
            return request.infer(arrays, share_inputs=True)[0]
        finally:
            self._idle.append(request)


def compiled(graph: Any, precision: Precision, output: str) -> Compiled:
    """As many threads a call as torch has, and as many calls side by side as there are processors for."""
    import torch

    threads = torch.get_num_threads()
    streams = min(max(cores() // threads, 1), _STREAMS)
    bf16 = precision == "bf16" or (precision == "int8" and BF16 & processor())
    settings = {
        "INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32",
        "INFERENCE_NUM_THREADS": threads * streams,
        "NUM_STREAMS": streams,
        "CPU_RUNTIME_CACHE_CAPACITY": _SHAPES,
        # Two processes would be pinned to the same core.
        "ENABLE_CPU_PINNING": False,
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": _GROUP if precision == "int8" else 0,
    }
    return Compiled(core().compile_model(graph, "CPU", settings), output)
