"""What a tenant's prefix fields are made of, and how they are searched: one record a dense field."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from rag_plugins.errors import StoreError
from rag_plugins.funnel import Funnel, Prefixes, Rotation
from rag_plugins.store.state import State
from rag_plugins.text import digest
from rag_plugins.types import JsonValue
from rag_plugins.vectors import Matrix, truncate

__all__ = ["Known", "Made", "PrefixRecords", "generation_of"]


@dataclass(frozen=True, slots=True)
class Made:
    """What the prefixes of a field are of, whether those of all rows are, and how they are searched.

    `generation` names the rotation, "" for none; `funnel` is None where the search is exact.
    """

    generation: str = ""
    rotation: Rotation | None = None
    whole: bool = True
    funnel: Funnel | None = None

    @property
    def prefixes(self) -> Prefixes | None:
        """By what the field is searched; None: exactly."""
        return Prefixes(self.funnel, self.rotation) if self.funnel and self.whole else None

    def cut(self, vectors: Matrix, width: int) -> Matrix:
        """Prefixes (n, width) of vectors (n, dim); plain ones where the rotation is not as wide."""
        rotation = self.rotation if self.rotation and self.rotation.width >= width else None
        return truncate(vectors if rotation is None else rotation(vectors, width), width)


Known = dict[str, tuple[float, Made]]
"""What was last read of each field's record, and when (monotonic seconds); shared within a process."""


class PrefixRecords:
    """The records of one tenant. The rotation has a value of its own, which is read only when it is new."""

    def __init__(self, state: State, tenant: str, known: Known) -> None:
        """`tenant` as it is stored."""
        self._state = state
        self._tenant = tenant
        self._known = known

    def recent(self, field: str, age: float) -> Made:
        """The record as it was so many seconds ago at most."""
        looked, made = self._known.get(field, (float("-inf"), Made()))
        return made if time.monotonic() - looked < age else self.read(field)

    def read(self, field: str) -> Made:
        """The record as it is now. Raises `StoreError` where it is damaged."""
        stored = self._state.get(self._key(field))
        try:
            made = self._made(field, stored)
        except StoreError:
            # Another process may have replaced the rotation between the two reads.
            made = self._made(field, self._state.get(self._key(field)))
        self._known[field] = (time.monotonic(), made)
        return made

    def write(self, field: str, made: Made) -> None:
        """Replace the record: readers see the old one or this one."""
        key, old = self._key(field), self.read(field)
        stages = None if made.funnel is None else cast(JsonValue, made.funnel.to_json())
        values: dict[str, JsonValue] = {
            key: {"generation": made.generation, "whole": made.whole, "stages": stages}
        }
        if made.rotation and made.generation != old.generation:
            values[f"rotation/{made.generation}/{key}"] = made.rotation.to_json()
        self._state.put(values)
        self._known[field] = (time.monotonic(), made)
        if old.rotation and old.generation != made.generation:
            self._state.delete([f"rotation/{old.generation}/{key}"])

    def _key(self, field: str) -> str:
        return f"funnel/{field}/{digest(self._tenant)}"

    def _made(self, field: str, stored: JsonValue) -> Made:
        if stored is None:
            return Made()
        try:
            record = cast("dict[str, Any]", stored)
            funnel = None if record["stages"] is None else Funnel(record["stages"])
            generation = str(record["generation"])
            return Made(generation, self._rotation(field, generation), record["whole"] is True, funnel)
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(f"a stored funnel is damaged ({error}): run `rag-plugins tune` again") from error

    def _rotation(self, field: str, generation: str) -> Rotation | None:
        known = self._known.get(field, (0.0, Made()))[1]
        if known.generation == generation:
            return known.rotation
        stored = self._state.get(f"rotation/{generation}/{self._key(field)}") if generation else None
        if generation and stored is None:
            raise StoreError(f"the rotation of {field} is gone: run `rag-plugins tune` again")
        return Rotation.from_json(stored) if generation else None


def generation_of(rotation: Rotation | None) -> str:
    """What prefixes of equal rotations have in common."""
    if rotation is None:
        return ""
    return hashlib.sha256(np.ascontiguousarray(rotation.columns, "<f4").tobytes()).hexdigest()[:32]
