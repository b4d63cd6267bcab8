"""What all parts of the configuration are made of."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, cast

from pydantic import BaseModel, ConfigDict, Field, SecretStr

__all__ = ["Frozen", "LegName", "Share", "Weight"]

LegName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
Weight = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]


class Frozen(BaseModel):
    """Immutable; unknown keys are refused. Neither errors nor pickles have its secrets."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    def __getstate__(self) -> dict[Any, Any]:
        state = super().__getstate__()
        return {**state, "__dict__": {name: _public(value) for name, value in state["__dict__"].items()}}


def _public(value: object) -> object:
    """As it is without secrets: they would lie open in the file or cache that a pickle ends up in."""
    if isinstance(value, tuple):
        return tuple(part for part in cast("tuple[object, ...]", value) if not isinstance(part, SecretStr))
    return None if isinstance(value, SecretStr) else value
