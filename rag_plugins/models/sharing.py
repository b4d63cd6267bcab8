"""Models loaded once in the process, and freed when nobody holds them."""

from __future__ import annotations

import gc
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Any, Generic, TypeVar
from weakref import WeakValueDictionary

__all__ = ["Shared"]

T = TypeVar("T")


class _Slot(Generic[T]):
    """Where a model is; gone with the last who holds it."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.model: T | None = None


_slots: WeakValueDictionary[Hashable, _Slot[Any]] = WeakValueDictionary()
_slots_lock = Lock()


class Shared(Generic[T]):
    """The model under `key`, for all in the process who hold one, and freed when all have let go."""

    def __init__(self, key: Hashable, load: Callable[[], T]) -> None:
        """`load` makes the model; loads nothing yet."""
        self._key = key
        self._load = load
        self._slot: _Slot[T] | None = None

    def get(self) -> T:
        """The model, loaded by the first who asks while others wait."""
        with _slots_lock:
            slot = self._slot = self._slot or _slots.setdefault(self._key, _Slot())
        with slot.lock:
            if slot.model is None:
                slot.model = self._load()
            return slot.model

    def __reduce__(self) -> tuple[type[Shared[T]], tuple[Hashable, Callable[[], T]]]:
        return type(self), (self._key, self._load)  # A copy finds the same model.

    def release(self) -> None:
        """Let go of it; asked again, it is there again."""
        held, self._slot = self._slot is not None, None
        if held and self._key not in _slots:
            gc.collect()  # Modules of torch are in cycles with their own methods.
