"""The states of a frozen trunk, computed once for each text and kept: what is trained stands on them."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from rag_plugins.errors import require

__all__ = ["frozen"]


@contextmanager
def frozen(transformer: Any, folder: Path) -> Generator[None]:
    """The transformer without gradients, its token states read from `folder` where they are there already."""
    folder.mkdir(parents=True, exist_ok=True)
    for parameter in transformer.parameters():
        parameter.requires_grad_(False)
    compute = transformer.forward
    transformer.forward = _kept(compute, folder)
    try:
        yield
    finally:
        del transformer.forward  # The class' own again.


def _kept(compute: Callable[..., Any], folder: Path) -> Callable[..., Any]:
    torch: Any = require("torch", "training")

    def forward(features: dict[str, Any], **options: Any) -> dict[str, Any]:
        ids, mask = features["input_ids"], features["attention_mask"].bool()
        rows = [row[kept].cpu().numpy() for row, kept in zip(ids, mask, strict=True)]
        paths = [folder / f"{blake2b(row.tobytes(), digest_size=16).hexdigest()}.npy" for row in rows]
        missing = [n for n, path in enumerate(paths) if not path.exists()]
        if missing:
            part = {
                name: value[missing] if torch.is_tensor(value) and len(value) == len(ids) else value
                for name, value in features.items()
            }
            with torch.no_grad():
                made = compute(part, **options)["token_embeddings"]
            for n, states in zip(missing, made, strict=True):
                _save(paths[n], states[mask[n]].float().cpu().numpy())
        loaded = [torch.from_numpy(np.load(path).astype(np.float32)) for path in paths]
        width = loaded[0].shape[1]
        states = torch.zeros(*ids.shape, width)
        for row, kept, one in zip(states, mask, loaded, strict=True):
            row[kept.cpu()] = one
        return features | {"token_embeddings": states.to(ids.device)}

    return forward


def _save(path: Path, states: Any) -> None:
    """In half precision; a file that is there is whole."""
    part = path.with_suffix(".part.npy")
    np.save(part, states.astype(np.float16))
    part.replace(path)
