"""Who may ask: requests of the page itself, of those who know the token, to the host that it is bound to."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from http.cookies import SimpleCookie
from urllib.parse import parse_qs

from starlette.responses import JSONResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["LOOPBACK", "Guard"]

LOOPBACK = ("localhost", "127.0.0.1", "::1")

_COOKIE = "rag-plugins-chat"
_HEADERS = {
    b"content-security-policy": b"default-src 'self'; object-src 'none'; base-uri 'none'; "
    b"form-action 'self'; frame-ancestors 'none'",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cache-control": b"no-store",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
}


class Guard:
    """Refuses requests before the app sees them, and puts the same headers on every answer.

    A page elsewhere may point a name of its own at this machine, or send forms to it: the host has to be one
    of `hosts` (None: any, where a token is asked for), and what changes anything has to come from the page
    itself.
    """

    def __init__(
        self, app: ASGIApp, hosts: Sequence[str] | None = LOOPBACK, token: str | None = None
    ) -> None:
        self._app = app
        self._hosts = hosts
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = self._refusal(scope, headers)
        await (refusal or self._app)(scope, receive, _with_headers(send))

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> ASGIApp | None:
        host = headers.get("host", "").rsplit(":", 1)[0] if "]" not in headers.get("host", "") else "::1"
        if self._hosts is not None and host not in self._hosts:
            return JSONResponse({"error": f"this server is not {host!r}"}, 421)
        site = headers.get("sec-fetch-site", "none")
        if scope["method"] not in ("GET", "HEAD") and site not in ("same-origin", "none"):
            return JSONResponse({"error": "only its own page may do this"}, 403)
        return None if self._token is None else self._without_token(scope, headers, self._token)

    def _without_token(self, scope: Scope, headers: dict[str, str], token: str) -> ASGIApp | None:
        cookies = SimpleCookie(headers.get("cookie", ""))
        shown = cookies[_COOKIE].value if _COOKIE in cookies else ""
        if secrets.compare_digest(shown.encode(), token.encode()):
            return None
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if not secrets.compare_digest(given.encode(), token.encode()):
            return JSONResponse({"error": "open the address that the server printed, with its token"}, 401)
        answer = RedirectResponse(scope["path"], 303)  # The token does not stay in the address.
        answer.set_cookie(_COOKIE, token, httponly=True, samesite="strict")
        return answer


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [(name, value) for name, value in message["headers"] if name.lower() not in _HEADERS]
            message = {**message, "headers": [*kept, *_HEADERS.items()]}
        await send(message)

    return sending
