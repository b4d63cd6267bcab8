"""Objects of a user's that hold keys, kept out of what is printed."""

from __future__ import annotations

from typing import Generic, TypeVar

__all__ = ["Unshown"]

T = TypeVar("T")


class Unshown(Generic[T]):
    """Holds an object that tracebacks with locals shall not print: its own repr may have a key in it."""

    __slots__ = ("it",)

    def __init__(self, it: T) -> None:
        self.it = it
