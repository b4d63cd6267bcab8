"""Who may ask: requests of the page itself, of those who know the token, to the host that it is bound to."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qs, urlsplit

from starlette.requests import cookie_parser
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["LOOPBACK", "Guard"]

LOOPBACK = ("localhost", "127.0.0.1", "::1")

_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^\s:/@\[\]]+))(?::\d{1,5})?", re.IGNORECASE)
_ASKED = "This chat asks for a token: open the whole address that the server printed when it began."
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

    def _refusal(self, scope: Scope, headers: Mapping[str, str]) -> ASGIApp | None:
        given = headers.get("host", "")
        if self._hosts is not None and _host(given) not in self._hosts:
            return JSONResponse({"error": f"this server is not {given!r}"}, 421)
        if scope["method"] not in ("GET", "HEAD") and _from_elsewhere(headers):
            return JSONResponse({"error": "only its own page may do this"}, 403)
        return None if self._token is None else _without_token(scope, headers, self._token)


def _host(header: str) -> str:
    """The host of a header without its port; empty for what is none."""
    match = _HOST.fullmatch(header)
    return (match[1] or match[2]).lower() if match else ""


def _from_elsewhere(headers: Mapping[str, str]) -> bool:
    """Whether a browser says that another site's page sends this."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        return site not in ("same-origin", "none")
    # Without TLS a browser says the former to loopback alone.
    return origin is not None and urlsplit(origin).netloc != headers.get("host")


def _without_token(scope: Scope, headers: Mapping[str, str], token: str) -> ASGIApp | None:
    # Cookies know no ports: two chats on one host would take each other's.
    name = f"rag-plugins-chat-{(scope.get('server') or ('', 0))[1]}"
    if _same(cookie_parser(headers.get("cookie", "")).get(name, ""), token):
        return None
    given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
    if not _same(given, token):
        page = scope["path"] == "/"
        return PlainTextResponse(_ASKED, 401) if page else JSONResponse({"error": _ASKED}, 401)
    answer = RedirectResponse("/", 303)  # The token does not stay in the address.
    answer.set_cookie(name, token, httponly=True, samesite="strict")
    return answer


def _same(given: str, token: str) -> bool:
    return secrets.compare_digest(given.encode(), token.encode())


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [(name, value) for name, value in message["headers"] if name.lower() not in _HEADERS]
            message = {**message, "headers": [*kept, *_HEADERS.items()]}
        await send(message)

    return sending
