"""How to reach Milvus, and how it is to index vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from rag_plugins.config.frozen import Frozen

__all__ = ["IndexConfig", "StoreConfig"]


Parameter = bool | int | float | str


class IndexConfig(Frozen):
    """A server's index of one vector field; its parameters are checked when the collection is opened."""

    type: Literal["AUTOINDEX", "FLAT", "HNSW", "IVF_FLAT", "IVF_SQ8", "IVF_PQ", "IVF_RABITQ", "DISKANN"] = (
        "AUTOINDEX"
    )
    build: Annotated[
        dict[str, Parameter], Field(description="parameters such as M and efConstruction, or nlist")
    ] = {}
    search: Annotated[dict[str, Parameter], Field(description="parameters such as ef, or nprobe")] = {}


class StoreConfig(Frozen):
    """How to reach Milvus and keep vectors. The address itself is given to `RagIndex.open`."""

    token: SecretStr | None = None
    timeout: Annotated[float, Field(gt=0, description="seconds a call may take")] = 30.0
    assets: Annotated[Path | None, Field(description="folder of page images; default: beside the file")] = (
        None
    )
    precision: Annotated[
        Literal["float32", "float16"],
        Field(description="of full vectors: in memory beside a file, in the fields of a server"),
    ] = "float32"
    index: Annotated[
        dict[str, IndexConfig], Field(description="a server's indexes, by dense leg or prefix field")
    ] = {}
