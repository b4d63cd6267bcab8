"""What models run on."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from rag_plugins.config.frozen import Frozen

__all__ = ["Backend", "ComputeConfig", "Precision"]

Backend: TypeAlias = Literal["openvino", "torch"]
Precision: TypeAlias = Literal["fp32", "bf16", "int8"]


class ComputeConfig(Frozen):
    """What models run on; "auto" is the fastest that keeps scores: `rag-plugins doctor` says which."""

    backend: Literal["auto"] | Backend = "auto"
    precision: Annotated[
        Literal["auto"] | Precision, Field(description="int8 is the fastest, and no longer lossless")
    ] = "auto"
