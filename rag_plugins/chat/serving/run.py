"""Serve the chat: models first, then the port."""

from __future__ import annotations

import asyncio
import secrets
import signal
import socket
import threading
from collections.abc import Callable, Coroutine, Generator
from contextlib import closing, contextmanager, suppress
from typing import Any

from rag_plugins.chat.answering import Chat
from rag_plugins.chat.serving.guard import LOOPBACK
from rag_plugins.errors import ConfigError, require

__all__ = ["serve"]

_PATIENCE = 1
"""Seconds that answers have to end in when the server does."""


def serve(
    chat: Chat,
    name: str,
    *,
    host: str,
    port: int,
    token: str | None,
    upload: bool,
    ready: Callable[[str], None],
) -> None:
    """Serve until interrupted or told to end; `ready` is told the address once the page answers.

    Bound elsewhere than to this machine itself, it asks for a token, made here where none is given. Raises
    `ConfigError` for a port that is taken, `MissingExtra` without the extra `chat`.
    """
    uvicorn = require("uvicorn", extra="chat")
    from rag_plugins.chat.serving.app import make_app

    alone = host in LOOPBACK
    token = token or (None if alone else secrets.token_urlsafe(16))
    with _ended_by_signals():
        with closing(chat.ask("Is everything ready?")) as events:
            next(events)  # Models are loaded before anyone waits for them; no language model is asked.
        listening = _bound(host, port)
        app = make_app(chat, name, upload=upload, hosts=LOOPBACK if alone else None, token=token)
        shown = f"[{host}]" if ":" in host else host
        address = f"http://{shown}:{listening.getsockname()[1]}/" + (f"?token={token}" if token else "")
        config = uvicorn.Config(
            app,
            log_level="warning",
            ws="none",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_PATIENCE,
        )
        server = uvicorn.Server(config)
        server.startup = _then(server.startup, lambda: ready(address))
        server.run(sockets=[listening])


def _then(startup: Callable[..., Coroutine[Any, Any, None]], call: Callable[[], None]) -> Callable[..., Any]:
    """Start, and call once the server serves: a signal before that ends uvicorn without its last words."""

    async def started(*arguments: Any, **named: Any) -> None:
        await startup(*arguments, **named)
        asyncio.get_running_loop().call_soon(call)

    return started


@contextmanager
def _ended_by_signals() -> Generator[None]:
    """SIGTERM ends it as Ctrl-C does, so that the caller closes the index; neither is an error."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with suppress(KeyboardInterrupt):
            yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(64)
    except OSError as error:
        listening.close()
        raise ConfigError(
            f"port {port} of {host} cannot be had ({error.strerror}): choose another, 0 for any"
        ) from error
    return listening
