"""How long a page may take, in all the ways that it is read together."""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic

__all__ = ["time_left", "within"]

_END: ContextVar[float] = ContextVar("end", default=math.inf)


@contextmanager
def within(seconds: float) -> Generator[None]:
    """What is read in here, on this thread, has so long in all."""
    token = _END.set(monotonic() + seconds)
    try:
        yield
    finally:
        _END.reset(token)


def time_left() -> float:
    """In seconds. Raises `TimeoutError` where there is none."""
    left = _END.get() - monotonic()
    if left <= 0:
        raise TimeoutError("the page takes longer than it may (ocr.timeout)")
    return left
