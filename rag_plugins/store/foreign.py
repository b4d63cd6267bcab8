"""Collections that other programs have made, read as they are."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self, cast

import numpy as np
from pydantic import SecretStr
from pymilvus import DataType

from rag_plugins.config import StoreConfig
from rag_plugins.errors import BadInput, StoreError
from rag_plugins.filters import literal
from rag_plugins.store.address import Address
from rag_plugins.store.engine import Engine, Entity, cut, id_in
from rag_plugins.store.header import admit
from rag_plugins.store.state import State
from rag_plugins.vectors import FloatArray

__all__ = ["LAYOUTS", "ROLES", "ForeignCollection", "ForeignRow", "Layout"]

ROLES = ("id", "text", "vector", "doc_id", "metadata")
"""What a field can be. "vector" is a dense one; "metadata" one of JSON whose keys are metadata themselves."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How a program names its fields, by role; a schema is of this layout that has all its `signs`."""

    name: str
    signs: frozenset[str]
    fields: Mapping[str, str]


_LLAMA_INDEX = MappingProxyType({"id": "id", "text": "text", "vector": "embedding", "doc_id": "doc_id"})

LAYOUTS = (
    Layout("llama-index", frozenset({"id", "doc_id", "text"}), _LLAMA_INDEX),
    # Its first versions declared these two alone, and kept all else as dynamic fields.
    Layout("llama-index", frozenset({"id", "embedding"}), _LLAMA_INDEX),
    Layout(
        "langchain-milvus",
        frozenset({"pk", "text"}),
        MappingProxyType({"id": "pk", "text": "text", "vector": "vector", "metadata": "metadata"}),
    ),
)

_NONE: Mapping[str, str] = MappingProxyType({})

_NODE, _NODE_TYPE = "_node_content", "_node_type"
"""Where LlamaIndex keeps a node as JSON, without its text, and the name of its class."""

_VECTORS = frozenset(kind for kind in DataType if kind.name.endswith("VECTOR"))

_KINDS = {"vector": DataType.FLOAT_VECTOR, "metadata": DataType.JSON}
"""Of which type a field in these roles has to be declared; the others may be dynamic."""

_COMPANIONS = ("_state", "_terms", "_tokens")
"""How the collections that stand beside one of ours are called."""

_OF_STATE = {"key", "generation", "part", "parts", "text"}
"""Fields that tell a state of ours from what somebody else calls so."""

_LEAST = {DataType.INT64: -(2**63), DataType.VARCHAR: ""}
"""The lowest value of a primary key, by its type."""


@dataclass(frozen=True, slots=True)
class ForeignRow:
    """A row: `vector`, where asked for, has shape (dim,); `node` is LlamaIndex' JSON, its text put in."""

    id: str
    doc_id: str | None
    text: str
    metadata: Mapping[str, Any]
    vector: FloatArray | None = None
    node: Mapping[str, Any] | None = None


class ForeignCollection:
    """Rows of a collection in a Lite file or on a server. Nothing is written to it. Close it."""

    def __init__(
        self, uri: str | Path, name: str, *, token: str = "", fields: Mapping[str, str] = _NONE
    ) -> None:
        """`fields` names fields by role, where they are not those of a known layout.

        Raises `BadInput` where there is no such collection, role or field, and where it is not known which
        field has the text; `StoreLocked`, `StoreUnavailable`, `StoreError`.
        """
        address = Address.of(uri)
        if address.path and not address.path.exists():  # Opening would make it.
            raise BadInput(f"there is no {address}: expected a Milvus Lite database or a server's address")
        self.name = name
        self._engine = Engine(uri, StoreConfig(token=SecretStr(token) if token else None))
        try:
            self._read_schema(fields)
        except BaseException:
            self.close()
            raise

    def rows(self, vectors: bool = False) -> Iterator[ForeignRow]:
        """All rows, by ascending primary key, with their dense `vectors` where these are wanted.

        Raises `BadInput` for a row without a text, and where it is not known which vectors are wanted.
        """
        if vectors and "vector" not in self.fields:
            raise BadInput(f"{self._called} has no one dense vector: name it, as vector; {self._listed}")
        wanted = [name for name, kind in self._types.items() if kind not in _VECTORS]
        wanted += [self.fields["vector"]] if vectors else []
        wanted += ["$meta"] if self._dynamic else []
        key, least = self._key, self._least
        keys = self._engine.ids(self.name, f"{key} >= {literal(least)}", key)
        # By key, and not page by page: a page costs Lite a pass over all rows.
        for batch in cut(keys):
            found = {row[key]: row for row in self._engine.query(self.name, id_in(batch, key), wanted)}
            yield from (self._row(found[each], vectors) for each in batch if each in found)

    def count(self) -> int:
        """How many rows there are."""
        return self._engine.count(self.name)

    def close(self) -> None:
        """Let go of the file. Idempotent."""
        self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read_schema(self, named: Mapping[str, str]) -> None:
        if not self._engine.has(self.name):
            names = ", ".join(sorted(self._engine.names())) or "none"
            raise BadInput(f"{self._engine.address} has no collection {self.name!r}; it has: {names}")
        _check_tenants(self._engine, self.name)
        schema = self._engine.describe(self.name)
        self._types = {field["name"]: DataType(field["type"]) for field in schema["fields"]}
        self._dynamic = bool(schema.get("enable_dynamic_field"))
        self._key = next(field["name"] for field in schema["fields"] if field.get("is_primary"))
        self._least = _LEAST[self._types[self._key]]
        layout = next((each for each in LAYOUTS if each.signs <= self._types.keys()), None)
        self.layout: str | None = layout.name if layout else None
        self.fields: Mapping[str, str] = self._resolved(layout, named)
        if "text" not in self.fields:
            known = ", ".join(dict.fromkeys(each.name for each in LAYOUTS))
            raise BadInput(
                f"{self._called} is of no known layout ({known}): name the field with the text, as text; "
                f"{self._listed}"
            )

    def _resolved(self, layout: Layout | None, named: Mapping[str, str]) -> dict[str, str]:
        """Field by role: as named, else as the layout has it, else what can be nothing else."""
        if unknown := sorted(named.keys() - set(ROLES)):
            raise BadInput(f"{', '.join(unknown)}: expected roles of fields, which are {', '.join(ROLES)}")
        for role, field in named.items():
            if not self._can_be(role, field):
                raise BadInput(f"{self._called} has no field {field!r} that could be {role}; {self._listed}")
        dense = [name for name in self._types if self._can_be("vector", name)]
        usual = (layout.fields if layout else {}).items()
        return {
            "id": self._key,
            **({"vector": dense[0]} if len(dense) == 1 else {}),
            **{role: field for role, field in usual if self._can_be(role, field)},
            **named,
        }

    def _can_be(self, role: str, field: str) -> bool:
        kind = self._types.get(field)
        if role in _KINDS:
            return kind == _KINDS[role]
        return kind not in _VECTORS if kind else self._dynamic

    @property
    def _called(self) -> str:
        return f"collection {self.name!r} of {self._engine.address}"

    @property
    def _listed(self) -> str:
        fields = ", ".join(f"{name} ({kind.name})" for name, kind in self._types.items())
        return f"its fields: {fields}{', and dynamic ones' if self._dynamic else ''}"

    def _row(self, row: Entity, vectors: bool) -> ForeignRow:
        node = _node(row)
        text = row.get(self.fields["text"], (node or {}).get("text"))
        id, doc_id = (row.get(self.fields.get(role, "")) for role in ("id", "doc_id"))
        if not isinstance(text, str) or id is None:
            raise BadInput(
                f"{self._called}: row {row[self._key]} lacks {self.fields['id']!r}, or text as "
                f"{self.fields['text']!r}: name them, as id and text; it has {', '.join(sorted(row))}"
            )
        if node and doc_id == "None":  # What LlamaIndex writes for a node without a document.
            doc_id = None
        return ForeignRow(
            id=str(id),
            doc_id=None if doc_id is None else str(doc_id),
            text=text,
            metadata=self._metadata(row, node),
            vector=np.array(row[self.fields["vector"]], np.float32) if vectors else None,
            node=None if node is None else {**node, "text": text},
        )

    def _metadata(self, row: Entity, node: Mapping[str, Any] | None) -> dict[str, Any]:
        """A node's own; else all fields that are nothing else, and the keys of the one that is metadata."""
        if node is not None:
            return dict(node.get("metadata") or {})
        nested = row.get(self.fields.get("metadata", ""))
        known = {*self.fields.values(), self._key}
        plain = {
            name: value
            for name, value in row.items()
            if name not in known and self._types.get(name) not in _VECTORS and value is not None
        }
        return {**plain, **(cast("dict[str, Any]", nested) if isinstance(nested, Mapping) else {})}


def _check_tenants(engine: Engine, name: str) -> None:
    """Raise `ConfigError` for one of ours, or what stands beside it, that was made with tenants.

    Whatever is read here is read of all of them.
    """
    for end in ("", *_COMPANIONS):
        main = name.removesuffix(end)
        state = f"{main}_state"
        if name.endswith(end) and engine.has(state) and _OF_STATE <= _fields(engine, state):
            admit(State(engine, state), main, "")


def _fields(engine: Engine, name: str) -> set[str]:
    return {field["name"] for field in engine.describe(name)["fields"]}


def _node(row: Entity) -> dict[str, Any] | None:
    if (content := row.get(_NODE)) is None:
        return None
    try:
        node: dict[str, Any] = {"class_name": row.get(_NODE_TYPE), **json.loads(content)}
    except (TypeError, ValueError) as error:
        raise StoreError(
            f"{_NODE} of a row is no JSON of a node ({error}): repair or delete the row"
        ) from error
    return node
