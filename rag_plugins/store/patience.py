"""How long the calls of one operation may wait for a server, all together."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar
from threading import RLock
from time import monotonic

from rag_plugins.errors import StoreUnavailable

__all__ = ["Answers", "Patience", "Turns", "patience"]


class Patience:
    """Seconds that are left; only waiting for the store takes from them, not what models take.

    With `renewed` an answer gives all of them back: for operations that may make any number of calls.
    """

    def __init__(self, seconds: float, renewed: bool) -> None:
        self.seconds: float = seconds
        self.left: float = seconds
        self.renewed: bool = renewed

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
            self.left = self.seconds if answered and self.renewed else rest


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


class Answers:
    """When a server last answered anyone of this process, and when somebody last waited in vain."""

    def __init__(self) -> None:
        self._answered = 0.0
        self._missed = 0.0

    @contextmanager
    def noted(self) -> Generator[None]:
        """Around a call."""
        try:
            yield
        except StoreUnavailable:
            self._missed = monotonic()
            raise
        self._answered = monotonic()

    def missed_since(self, start: float) -> bool:
        """Whether somebody has waited in vain since then, and nobody was answered after that."""
        return self._missed > max(start, self._answered)


class Turns(AbstractContextManager[None]):
    """A lock. To have waited behind somebody who was not answered is to have waited for the server."""

    def __init__(
        self, lock: RLock, patient: Callable[[], AbstractContextManager[Patience]], answers: Answers
    ) -> None:
        """`patient` opens what the calls under the lock are part of."""
        self._lock = lock
        self._patient = patient
        self._answers = answers
        self._held: list[ExitStack] = []

    def __enter__(self) -> None:
        with ExitStack() as stack:
            mine = stack.enter_context(self._patient())
            start = monotonic()
            # What any number of calls belong to may have to wait for as long as another does.
            if not self._lock.acquire(timeout=-1 if mine.renewed else max(mine.left, 0.0)):
                raise StoreUnavailable(f"somebody has been writing for {mine.seconds:g} s: try again")
            stack.callback(self._lock.release)
            if not mine.renewed or self._answers.missed_since(start):
                mine.left -= monotonic() - start
            self._held.append(stack.pop_all())

    def __exit__(self, *_: object) -> None:
        self._held.pop().close()
