"""The connections of this process, one an address, shared by all who open it."""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, TypeVar

import grpc
from pydantic import SecretStr
from pymilvus import MilvusClient

from rag_plugins.config.store import StoreConfig
from rag_plugins.errors import StoreError
from rag_plugins.store.address import Address
from rag_plugins.store.patience import Answers
from rag_plugins.store.report import reported
from rag_plugins.store.tls import explained, tls_arguments

__all__ = ["Connection", "connect", "disconnect"]

_KEEPALIVE = 600_000
"""Milliseconds between pings. Lite's server hangs up, loudly, on clients that ping more often than every 5
minutes, and pymilvus would every 10 seconds; a server that has died shows by the deadline of each call."""

_CHANNEL = {
    "grpc.keepalive_time_ms": _KEEPALIVE,
    # As they are, a server is looked for again after 1 second, then ever later, up to every 2 minutes.
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 250,
    # A call waits for the server to return, to its deadline, where pymilvus would try again ever later.
    "grpc.service_config": '{"methodConfig": [{"name": [{}], "waitForReady": true}]}',
}

_OVER_TLS = 0.85
"""Of the timeout, for opening over TLS; the rest is for finding out what is wrong with it."""

_OLDEST_LITE = (3, 2, 2)
"""Milvus Lite before this ranks every sparse field by a BM25 of its own, whatever metric was asked for."""

T = TypeVar("T")


@dataclass(eq=False)
class Connection:
    """A client, and the lock that its writers share: Lite admits one writer of a collection at a time.

    `lite` tells Milvus Lite from a real server. `recovered` says that the last user of a file had crashed.
    `full` is what a write to a file said that found no room. Lite leaves half of it in its log, and drops
    all that it could not turn into a segment: what was written after it would be lost in a crash.
    """

    address: Address
    key: str = field(repr=False)
    client: Any
    lite: bool
    recovered: bool
    lock: threading.RLock = field(default_factory=threading.RLock)
    answers: Answers = field(default_factory=Answers)
    process: int = field(default_factory=os.getpid)
    users: int = 0
    full: str = ""
    objects: dict[tuple[str, ...], Any] = field(default_factory=dict[tuple[str, ...], Any])
    found: Mapping[str, int] = field(default_factory=dict[str, int])
    at_end: dict[str, Callable[[], None]] = field(default_factory=dict[str, Callable[[], None]])

    def shared(self, key: tuple[str, ...], make: Callable[[], T]) -> T:
        """One object a key, made by the first who asks; it goes with the connection."""
        with self.lock:
            if key not in self.objects:
                self.objects[key] = make()
            return self.objects[key]

    def check_process(self) -> None:
        """Raises `StoreError` in a forked child: gRPC does not survive a fork."""
        if os.getpid() != self.process:
            raise StoreError(
                f"{self.address} was opened before this process was forked, and does not work in the child: "
                "open it after the fork, or start processes by 'spawn'"
            )


_connections: dict[str, Connection] = {}
_registry = threading.Lock()
_turns: dict[str, threading.Lock] = {}
"""Who opens an address waits for others that do, and not for those at a server that does not answer."""


def _after_fork() -> None:
    """Whoever held a lock is not in the child."""
    global _registry
    _registry = threading.Lock()
    _turns.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def connect(address: Address, config: StoreConfig, timeout: float) -> Connection:
    """A connection, new or shared. Raises `ConfigError`, `StoreLocked`, `StoreUnavailable`, `StoreError`."""
    token = config.token or address.token
    hidden = hashlib.sha256(token.get_secret_value().encode()).hexdigest()
    key = f"{address.uri} {hidden} {config.tls.model_dump_json()}"
    with _registry:
        turn = _turns.setdefault(key, threading.Lock())
    with turn:
        if connection := _shared(key):
            return connection
        tls = tls_arguments(address, config.tls)
        with explained(address, config.tls, timeout):
            connection = _open(address, key, token, timeout * (_OVER_TLS if tls else 1.0), tls)
        with _registry:
            _connections[key] = connection
            connection.users += 1
        return connection


def _shared(key: str) -> Connection | None:
    """A connection that is open, with one user more."""
    with _registry:
        if connection := _connections.get(key):
            connection.check_process()
            connection.users += 1
        return connection


def disconnect(connection: Connection) -> None:
    """Give a connection back; the last user closes it and frees the file."""
    with _registry, connection.lock:
        connection.users -= 1
        if not connection.users:
            del _connections[connection.key]
            with reported(connection.address, "closing"):
                connection.client.close()
                _free(connection.address)
            for call in connection.at_end.values():
                call()


def _open(address: Address, key: str, token: SecretStr, timeout: float, tls: Mapping[str, Any]) -> Connection:
    end = monotonic() + timeout
    with ExitStack() as undo, reported(address, "opening"):
        address.prepare()
        crashed, found = address.crashed(), address.files()
        undo.callback(_free, address)
        # pymilvus keeps connections that it shares for ever: one would leak with every file opened.
        client = MilvusClient(
            address.uri,
            token=token.get_secret_value(),  # Never in a variable: tracebacks may show those.
            timeout=timeout,
            dedicated=True,
            grpc_options=_CHANNEL,
            **tls,
        )
        undo.callback(client.close)
        _leave_retries_to_us(client)
        version = str(client.get_server_version(timeout=max(end - monotonic(), 0.01))).lower()
        _check_version(address, version)
        undo.pop_all()
    return Connection(address, key, client, "lite" in version, crashed, found=found)


def _leave_retries_to_us(client: MilvusClient) -> None:
    """Let calls fail by what they meet first.

    pymilvus 3 would connect anew, one thread after the other, each with the timeout of opening, and repeat
    the call with all of its own.
    """
    handler: Any = getattr(client, "_handler", None)
    if hasattr(handler, "_on_rpc_error"):
        handler._on_rpc_error = _give_up


def _give_up(error: Exception) -> bool:
    """Called by pymilvus to ask whether to try again."""
    if isinstance(error, grpc.RpcError):
        raise error
    return False


def _check_version(address: Address, version: str) -> None:
    numbers = re.fullmatch(r".*lite\D*(\d+)\.(\d+)\.(\d+).*", version)
    if numbers and tuple(map(int, numbers.groups())) < _OLDEST_LITE:
        oldest = ".".join(map(str, _OLDEST_LITE))
        raise StoreError(
            f"{address} is {version}, which ranks sparse vectors wrongly: pip install 'milvus-lite>={oldest}'"
        )


def _free(address: Address) -> None:
    """Lite keeps a file locked after its client is closed."""
    if address.path:
        from milvus_lite.server_manager import server_manager_instance

        server_manager_instance.release_server(address.uri)
