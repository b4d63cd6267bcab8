"""What comes in and goes out in streams: bodies up to a limit, answers that end when nobody listens."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import suppress
from threading import Lock
from typing import Self

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from rag_plugins.errors import BadInput

__all__ = ["Answer", "limited"]


def limited(request: Request, most: int, refusal: str) -> Request:
    """The same request; a body of more than `most` bytes raises `BadInput`, whatever its header says."""
    if _stated(request) > most:
        raise BadInput(refusal)
    left = most

    async def receive() -> Message:
        nonlocal left
        message = await request.receive()
        left -= len(message.get("body", b""))
        if left < 0:
            raise BadInput(refusal)
        return message

    return Request(request.scope, receive)


def _stated(request: Request) -> int:
    with suppress(ValueError):
        return int(request.headers.get("content-length", "0"))
    return 0


class Answer(StreamingResponse):
    """Server-sent events; their generator is closed also when the page has gone: a model would write on."""

    def __init__(self, events: Generator[bytes]) -> None:
        self._events = _Closable(events)
        super().__init__(self._events, media_type="text/event-stream")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send them."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._events.close()


class _Closable:
    """A generator that may be closed while a thread is at work in it, and then ends with that work."""

    def __init__(self, events: Generator[bytes]) -> None:
        self._events = events
        self._working = Lock()
        self._closed = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        try:
            with self._working:
                return next(self._events)
        finally:
            if self._closed:
                self.close()

    def close(self) -> None:
        self._closed = True
        if self._working.acquire(blocking=False):
            try:
                self._events.close()
            finally:
                self._working.release()
