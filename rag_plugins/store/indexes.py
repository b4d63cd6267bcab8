"""Indexes of a server's dense fields: what may be set, and how the engine is told.

The parameters and their ranges are those of Milvus 2.6's documentation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from pymilvus import CollectionSchema, DataType, MilvusClient
from pymilvus.milvus_client.index import IndexParams

from rag_plugins.config import IndexConfig, StoreConfig
from rag_plugins.errors import ConfigError
from rag_plugins.store.schema import VectorField

__all__ = ["Indexes", "explicit", "index_params", "layout", "search_params"]

Indexes = Mapping[str, IndexConfig]
"""Indexes by field; a field that is not named has the engine's own choice."""

_MOST = 2**31 - 1
_DEFAULT_CLUSTERS = 128
_DENSE = (DataType.FLOAT_VECTOR, DataType.FLOAT16_VECTOR)


@dataclass(frozen=True, slots=True)
class _Between:
    least: float
    most: float
    whole: bool = True

    def allows(self, value: object) -> bool:
        number = isinstance(value, int if self.whole else int | float) and not isinstance(value, bool)
        return number and self.least <= value <= self.most  # pyright: ignore[reportOperatorIssue]

    def __str__(self) -> str:
        return f"{'an integer' if self.whole else 'a number'} from {self.least} to {self.most}"


@dataclass(frozen=True, slots=True)
class _OneOf:
    values: tuple[object, ...]

    def allows(self, value: object) -> bool:
        return any(type(value) is type(known) and value == known for known in self.values)

    def __str__(self) -> str:
        return f"one of {', '.join(map(str, self.values))}"


_Allowed = Mapping[str, _Between | _OneOf]
_NONE: _Allowed = {}
_CLUSTERS: _Allowed = {"nlist": _Between(1, 65_536)}
_PROBES: _Allowed = {"nprobe": _Between(1, 65_536)}


@dataclass(frozen=True, slots=True)
class _Kind:
    """What an index type takes; `breadth` is the search parameter that may not be below a search's limit."""

    build: _Allowed = field(default_factory=lambda: _NONE)
    search: _Allowed = field(default_factory=lambda: _NONE)
    on_lite: bool = False
    breadth: str = ""
    breadth_default: int | None = None


_KINDS: Mapping[str, _Kind] = {
    "AUTOINDEX": _Kind(on_lite=True),
    "FLAT": _Kind(on_lite=True),
    "HNSW": _Kind(
        {"M": _Between(2, 2048), "efConstruction": _Between(1, _MOST)},
        {"ef": _Between(1, _MOST)},
        on_lite=True,
        breadth="ef",
    ),
    "IVF_FLAT": _Kind(_CLUSTERS, _PROBES, on_lite=True),
    "IVF_SQ8": _Kind(_CLUSTERS, _PROBES, on_lite=True),
    "IVF_PQ": _Kind({**_CLUSTERS, "m": _Between(1, 65_536), "nbits": _Between(1, 64)}, _PROBES),
    "IVF_RABITQ": _Kind(
        {
            **_CLUSTERS,
            "refine": _OneOf((True, False)),
            "refine_type": _OneOf(("SQ6", "SQ8", "FP16", "BF16", "FP32")),
        },
        {**_PROBES, "rbq_query_bits": _Between(0, 8), "refine_k": _Between(1, 1e9, whole=False)},
    ),
    "DISKANN": _Kind({}, {"search_list": _Between(1, _MOST)}, breadth="search_list", breadth_default=16),
}


def layout(
    fields: Sequence[VectorField], config: StoreConfig, *, file: bool, lite: bool
) -> tuple[tuple[VectorField, ...], dict[str, IndexConfig]]:
    """Fields and indexes as a new collection has them. Raises `ConfigError`.

    A file has neither indexes nor prefix fields: it is searched in memory.
    """
    indexes = _settings(config.index, fields)
    if file:
        return tuple(field for field in fields if not field.prefix_of), {}
    _check_lite(indexes, config, lite)
    stored = (replace(f, precision=config.precision) if f.kind == "dense" else f for f in fields)
    return tuple(stored), indexes


def _settings(config: Indexes, fields: Sequence[VectorField]) -> dict[str, IndexConfig]:
    """The index of every dense field that has a setting, its own or its leg's."""
    dense = {field.name: field for field in fields if field.kind == "dense"}
    unknown = sorted(set(config).difference(dense))
    if unknown:
        raise ConfigError(f"[store.index] {', '.join(unknown)}: the dense fields are {', '.join(dense)}")
    settings: dict[str, IndexConfig] = {}
    for name, stored in dense.items():
        index = config.get(name) or config.get(stored.prefix_of or "") or IndexConfig()
        _check(stored, index)
        if index.type != "AUTOINDEX":  # The engine's own choice.
            settings[name] = index
    return settings


def index_params(
    schema: CollectionSchema, lookups: Sequence[str], indexes: Indexes = MappingProxyType({})
) -> IndexParams:
    """A server's indexes: as set, or its own choice for dense vectors, and for equality on `lookups`."""
    params = MilvusClient.prepare_index_params()
    for stored in schema.fields:
        if stored.dtype in _DENSE:
            index = indexes.get(stored.name, IndexConfig())
            # Lite reads parameters in this form alone, servers in this one too.
            build: dict[str, Any] = {"params": {"params": index.build}} if index.build else {}
            params.add_index(stored.name, index_type=index.type, metric_type="IP", **build)
        elif stored.dtype == DataType.SPARSE_FLOAT_VECTOR:
            params.add_index(stored.name, index_type="SPARSE_INVERTED_INDEX", metric_type="IP")
    for name in lookups:
        params.add_index(name, index_type="INVERTED")
    return params


def explicit(params: IndexParams) -> IndexParams:
    """Those that someone has asked for: Lite gains nothing from the others."""
    return IndexParams(
        index for index in params if index.index_type in _KINDS and index.index_type != "AUTOINDEX"
    )


def search_params(index: IndexConfig | None, limit: int, *, few: bool = False) -> dict[str, Any]:
    """Parameters of a search for `limit` hits; `few`: a filter leaves few rows, all of which count."""
    if index is None:
        return {}
    kind = _KINDS[index.type]
    params: dict[str, Any] = dict(index.search)
    breadth = params.get(kind.breadth, kind.breadth_default)
    if breadth is not None:
        params[kind.breadth] = max(breadth, limit)  # Servers refuse less.
    if few and "nprobe" in kind.search:
        params["nprobe"] = index.build.get("nlist", _DEFAULT_CLUSTERS)
    return params


def _check(field: VectorField, index: IndexConfig) -> None:
    where = f"[store.index] {field.name}, {index.type}"
    kind = _KINDS[index.type]
    for part, given, allowed in (("build", index.build, kind.build), ("search", index.search, kind.search)):
        for name, value in given.items():
            if name not in allowed:
                known = ", ".join(allowed) or "none"
                raise ConfigError(f"{where}: unknown {part} parameter {name!r}; there are: {known}")
            if not allowed[name].allows(value):
                raise ConfigError(f"{where}: {name} is {value!r}, expected {allowed[name]}")
    nlist = index.build.get("nlist", _DEFAULT_CLUSTERS)
    if index.search.get("nprobe", 1) > nlist:  # pyright: ignore[reportOperatorIssue]
        raise ConfigError(f"{where}: nprobe {index.search['nprobe']} is above nlist {nlist}")
    if index.type == "IVF_PQ":
        _check_pieces(field, index, where)


def _check_lite(indexes: Indexes, config: StoreConfig, lite: bool) -> None:
    """What Milvus Lite's server cannot do: it would say so late, or not at all."""
    beyond = [f"{name} {index.type}" for name, index in indexes.items() if not _KINDS[index.type].on_lite]
    if lite and beyond:
        known = ", ".join(name for name, kind in _KINDS.items() if kind.on_lite)
        raise ConfigError(
            f"[store.index] {', '.join(beyond)}: Milvus Lite's server has {known} alone; choose one of "
            "them, or use a real server"
        )
    if lite and config.precision != "float32":
        raise ConfigError(
            f"store.precision = {config.precision!r}: Milvus Lite's server keeps float32 vectors alone; "
            "leave it at float32, or use a real server"
        )


def _check_pieces(field: VectorField, index: IndexConfig, where: str) -> None:
    pieces = index.build.get("m")
    if not isinstance(pieces, int) or (field.dim or 0) % pieces:
        raise ConfigError(
            f"{where}: m is {pieces}, expected a divisor of the {field.dim} numbers of {field.name}; "
            f"[store.index.{field.name}] sets this field alone"
        )
