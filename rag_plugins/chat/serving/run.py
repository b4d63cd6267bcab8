"""Serve the chat: models first, then the port."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable

from rag_plugins.chat.answering import Chat
from rag_plugins.chat.serving.guard import LOOPBACK
from rag_plugins.errors import ConfigError, require

__all__ = ["serve"]


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
    """Serve until interrupted; `ready` is told the address once the page answers.

    Bound elsewhere than to this machine itself, it asks for a token, made here where none is given. Raises
    `ConfigError` for a port that is taken, `MissingExtra` without the extra `chat`.
    """
    uvicorn = require("uvicorn", extra="chat")
    from rag_plugins.chat.serving.app import make_app

    alone = host in LOOPBACK
    token = token or (None if alone else secrets.token_urlsafe(16))
    for _ in chat.ask("Is everything ready?"):  # Models are loaded before anyone waits for them.
        pass
    listening = _bound(host, port)
    app = make_app(chat, name, upload=upload, hosts=LOOPBACK if alone else None, token=token)
    shown = f"[{host}]" if ":" in host else host
    ready(f"http://{shown}:{listening.getsockname()[1]}/" + (f"?token={token}" if token else ""))
    uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[listening])


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
