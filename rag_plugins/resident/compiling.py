"""How loops are compiled. Importing this module needs numba, which publishes no types."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba

__all__ = ["compiled", "jit", "read", "types"]

jit: Any = numba.njit
types: Any = numba.types


def read(dtype: Any, dimensions: int = 1) -> Any:
    """The type of arrays that are only read: they may be read-only, as those of a snapshot are."""
    return types.Array(dtype, dimensions, "C", readonly=True)


def compiled(*signatures: Any, any_order: bool = False) -> Callable[[Callable[..., Any]], Any]:
    """Compiled on import, so that no search waits for it; kept on disk where there is a place for it.

    `any_order`: sums of floats are added in whatever order is fastest, the same one in every call.
    """
    how: dict[str, Any] = {"nogil": True, "fastmath": {"reassoc"} if any_order else False}

    def decorate(function: Callable[..., Any]) -> Any:
        try:
            return jit(list(signatures), cache=True, **how)(function)
        except RuntimeError:  # numba found no folder that it may write to.
            return jit(list(signatures), **how)(function)

    return decorate
