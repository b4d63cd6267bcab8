"""How long the calls of one operation may wait for a server, all together."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic

__all__ = ["Patience", "patience"]


class Patience:
    """Seconds that are left; only waiting for the store takes from them, not what models take.

    With `renewed` an answer gives all of them back: for operations that may make any number of calls.
    """

    def __init__(self, seconds: float, renewed: bool) -> None:
        self.seconds: float = seconds
        self.left: float = seconds
        self._renewed = renewed

    @contextmanager
    def spent(self) -> Generator[None]:
        """Around a call."""
        start = monotonic()
        answered = False
        try:
            yield
            answered = True
        finally:
            rest = self.left - (monotonic() - start)
            self.left = self.seconds if answered and self._renewed else rest


_current: ContextVar[Patience | None] = ContextVar("patience", default=None)


@contextmanager
def patience(seconds: float, *, renewed: bool = False) -> Generator[Patience]:
    """What is left to the operation that this is part of; it is one by itself where it is part of none."""
    if outer := _current.get():
        yield outer
        return
    own = Patience(seconds, renewed)
    token = _current.set(own)
    try:
        yield own
    finally:
        _current.reset(token)
