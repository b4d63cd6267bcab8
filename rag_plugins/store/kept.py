"""What a collection keeps beside its passages, read without the models that it was made with."""

from __future__ import annotations

from dataclasses import dataclass

from rag_plugins.config import StoreConfig
from rag_plugins.errors import BadInput
from rag_plugins.fusion.learned import Learned
from rag_plugins.store.engine import Engine
from rag_plugins.store.header import admit, recorded_legs
from rag_plugins.store.learned import LearnedRecord
from rag_plugins.store.rows import Rows
from rag_plugins.store.schema import checked_name, scope_of
from rag_plugins.store.state import State

__all__ = ["Kept", "read_kept"]


@dataclass(frozen=True, slots=True)
class Kept:
    """The legs of a collection; the passages that one tenant has, and what these have told of the legs."""

    legs: tuple[str, ...]
    rows: int
    learned: Learned | None


def read_kept(uri: str, config: StoreConfig, collection: str, tenant: str) -> Kept:
    """Nothing is created. Raises `BadInput` where there is no such collection, and as `MilvusStore.open`."""
    name, scope = checked_name(collection), scope_of(tenant)
    engine = Engine(uri, config)
    try:
        if not (engine.has(name) and engine.has(f"{name}_state")):
            raise BadInput(f"no collection {name!r} on {engine.address}: name another, or ingest into it")
        engine.load(name)
        state = State(engine, f"{name}_state")
        admit(state, name, tenant)
        rows = Rows(engine, name, scope, state).count()
        return Kept(recorded_legs(state), rows, LearnedRecord(state, tenant).current)
    finally:
        engine.close()
