"""How the vectors of one field are searched: a funnel, and the rotation that its prefixes are of."""

from __future__ import annotations

from dataclasses import dataclass

from rag_plugins.errors import StoreError
from rag_plugins.funnel.rotation import Rotation
from rag_plugins.funnel.stages import Funnel
from rag_plugins.types import JsonValue
from rag_plugins.vectors import FloatArray, Matrix, truncate

__all__ = ["Prefixes"]


@dataclass(frozen=True, slots=True, eq=False)
class Prefixes:
    """A funnel and, for models that were not trained for prefixes, a rotation as wide as the widest one.

    Only prefixes are rotated: what a stage at full width compares are the vectors themselves, so that its
    scores are those of the exact search, whatever rotation is in use.
    """

    funnel: Funnel
    rotation: Rotation | None = None

    def cut(self, vectors: Matrix | FloatArray, width: int) -> Matrix:
        """Unit prefixes (n, width) of vectors (n, dim), or (width,) of one (dim,); itself at full width."""
        if width == vectors.shape[-1]:
            return vectors
        return truncate(vectors if self.rotation is None else self.rotation(vectors, width), width)

    def to_json(self) -> dict[str, JsonValue]:
        """As it is stored with a collection."""
        stages: JsonValue = [list[JsonValue](stage) for stage in self.funnel.to_json()]
        return {"stages": stages, "rotation": None if self.rotation is None else self.rotation.to_json()}

    @classmethod
    def from_json(cls, value: JsonValue) -> Prefixes:
        """Raises `StoreError` where it is damaged."""
        try:
            assert isinstance(value, dict)  # noqa: S101
            rotation = value["rotation"]
            return cls(
                Funnel(value["stages"]),  # pyright: ignore[reportArgumentType]
                None if rotation is None else Rotation.from_json(rotation),
            )
        except (AssertionError, KeyError, TypeError, ValueError) as error:
            raise StoreError(f"a stored funnel is damaged ({error}): run `rag-plugins tune` again") from error
