"""How to reach Milvus, and how it is to index vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, model_validator

from rag_plugins.config.frozen import Frozen

__all__ = ["IndexConfig", "StoreConfig", "TlsConfig"]


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


class TlsConfig(Frozen):
    """What a server at https://… is known by, and this program to it. All are files in PEM."""

    ca: Annotated[
        Path | None, Field(description="who signed the server's certificate; default: public authorities")
    ] = None
    certificate: Annotated[Path | None, Field(description="of this program, for servers that ask")] = None
    key: Annotated[Path | None, Field(description="of that certificate")] = None
    server_name: Annotated[
        str, Field(description="what the server's certificate calls it, where the address does not")
    ] = ""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        given = [name for name in ("certificate", "key") if getattr(self, name) is not None]
        # pymilvus would leave them out silently.
        if given and not (len(given) == 2 and self.ca):
            raise ValueError(f"got {given}: certificate, key and ca are given together")
        return self


class StoreConfig(Frozen):
    """How to reach Milvus and keep vectors. The address itself is given to `RagIndex.open`."""

    token: Annotated[SecretStr | None, Field(description='of a server: "user:password" or a key')] = None
    tls: Annotated[TlsConfig, Field(description="of a server at https://…")] = TlsConfig()
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
