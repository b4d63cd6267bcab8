"""What Milvus' clients raise and log, as one error of ours that says what to do."""

from __future__ import annotations

import logging
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import grpc
from pymilvus import MilvusException

from rag_plugins.errors import StoreError, StoreLocked, StoreUnavailable
from rag_plugins.store.address import Address
from rag_plugins.store.lock import holder
from rag_plugins.store.space import told

__all__ = ["reported"]

_UNAVAILABLE = (
    "Fail connecting",
    "Retry timeout",
    "Retry run out",
    "DEADLINE_EXCEEDED",
    "StatusCode.UNAVAILABLE",
)
"""How pymilvus and gRPC say that nobody answered; there is no one type or code for it."""

_DENIED = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)

_LOGGERS = (
    "milvus_lite.server_manager",
    "pymilvus.client.connection_manager",
    "pymilvus.client.grpc_handler",
    "pymilvus.decorators",
    "pymilvus.orm.connections",
)

_causes: ContextVar[list[BaseException] | None] = ContextVar("causes", default=None)


def _quiet(record: logging.LogRecord) -> bool:
    """Within `reported`, take in what the clients log about errors that they also raise."""
    causes = _causes.get()
    if causes is None:
        return True
    if record.exc_info and record.exc_info[1] is not None:
        causes.append(record.exc_info[1])
    return False


for _name in _LOGGERS:
    logging.getLogger(_name).addFilter(_quiet)


@contextmanager
def reported(address: Address, doing: str) -> Generator[None]:
    """Raise `StoreError` or a kind of it instead of what the clients raise, and print no tracebacks."""
    causes: list[BaseException] = []
    before = _causes.set(causes)
    try:
        yield
    except (MilvusException, grpc.RpcError, OSError) as error:
        told = _translated(address, doing, error, causes)
        _strip(error)
        raise told from error
    finally:
        _causes.reset(before)


def _translated(
    address: Address, doing: str, error: BaseException, causes: Sequence[BaseException]
) -> StoreError:
    # Lite says "Open local milvus failed", and why only in its log.
    if address.path and any(type(cause).__name__ == "DataDirLockedError" for cause in causes):
        lock = address.path / "LOCK"
        return StoreLocked(
            f"{address} is in use by {holder(lock)}, which holds {lock}: close it there, or let several "
            "processes share a server: milvus-lite server --data-dir DIR --host 127.0.0.1"
        )
    if denied := next((each for each in _chain(error) if _status(each) in _DENIED), None):
        return StoreError(
            f"{doing}: {address} refuses it ({_text(denied)}): set store.token to 'user:password', or the "
            "key, of a user who may do this"
        )
    text = _text(error)
    if any(sign in text for sign in _UNAVAILABLE):
        return StoreUnavailable(f"{doing}: no answer from {address}: is the server running? ({text})")
    return StoreError(told(f"{doing} on {address}: {'; '.join([text, *map(str, causes[:1])])}"))


def _chain(error: BaseException) -> list[BaseException]:
    """An error and what led to it, each once: gRPC's come in circles."""
    chain, following = list[BaseException](), error.__cause__ or error.__context__
    chain.append(error)
    while following is not None and following not in chain:
        chain.append(following)
        following = following.__cause__ or following.__context__
    return chain


def _status(error: BaseException) -> grpc.StatusCode | None:
    return error.code() if isinstance(error, grpc.RpcError) and isinstance(error, grpc.Call) else None


def _strip(error: BaseException) -> None:
    """Without frames: those of the clients have the token in their variables, which tracebacks may show.

    And without the circle that pymilvus 2.6 makes of gRPC's errors, which rich's tracebacks follow for ever.
    """
    chain = _chain(error)
    for each in chain:
        each.__traceback__ = None
    chain[-1].__cause__ = chain[-1].__context__ = None


def _text(error: BaseException) -> str:
    if isinstance(error, grpc.RpcError) and isinstance(error, grpc.Call):
        return f"{error.code()}: {error.details()}"
    return str(error.message) if isinstance(error, MilvusException) else str(error)
