"""Who may ask: the page itself, those who know the token, by a host that is the server's."""

import socket

import pytest
from chat_page_support import served

HEADERS = {
    "content-security-policy": "default-src 'self'; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
TOKEN = "a token with enough letters"


@pytest.mark.parametrize(
    "path", ["/", "/static/app.js", "/api/about", "/api/image/x", "/nowhere", "/api/jobs/x", "/api/ask"]
)
def test_every_answer_has_the_headers(client, path):
    got = client.get(path).headers
    assert {name: got.get(name) for name in HEADERS} == HEADERS
    assert "server" not in got or "uvicorn" in got["server"]


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8765", "127.0.0.1.evil.example", "[2001:db8::1]:80", "u@localhost", ""],
)
def test_a_name_that_somebody_else_points_here_is_refused(client, host):
    got = client.get("/api/about", Host=host)
    assert got.status == 421 and "this server is not" in got.error
    assert HEADERS.items() <= got.headers.items()


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:8765", "[::1]:8765"])
def test_its_own_names_are_taken(client, host):
    assert client.get("/api/about", Host=host).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
    ],
)
def test_another_site_s_page_changes_nothing(client, headers):
    for method, path in (("POST", "/api/ask"), ("POST", "/api/documents"), ("DELETE", "/api/documents?id=x")):
        got = client.send(method, path, b"{}", headers)
        assert got.status == 403 and got.error == "only its own page may do this"
    assert (
        client.send("POST", "/api/ask", b'{"question": "a"}', {"Sec-Fetch-Site": "same-origin"}).status == 200
    )
    own = {"Origin": f"http://127.0.0.1:{client.port}"}
    assert client.send("POST", "/api/ask", b'{"question": "a"}', own).status == 200


def test_with_a_token_all_is_closed_to_those_without_it(chat):
    with served(chat, hosts=None, token=TOKEN) as client:
        page = client.get("/")
        assert page.status == 401 and page.headers["content-type"].startswith("text/plain")
        assert "open the whole address" in page.text
        for path in ("/api/about", "/static/app.js", "/api/documents", "/?token=wrong", "/api/about?token="):
            assert client.get(path).status == 401
        assert client.ask("How tight?").status == 401
        assert client.get("/", Cookie='a="\x07;;=; rag-plugins-chat-1=').status == 401


def test_the_token_of_the_address_becomes_a_cookie(chat):
    with served(chat, hosts=None, token=TOKEN) as client:
        got = client.get("//evil.example/?token=" + TOKEN.replace(" ", "%20"))
        assert got.status == 303 and got.headers["location"] == "/"
        cookie = got.headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=strict" in cookie
        kept = {"Cookie": cookie.split(";")[0], "Host": "chat.example"}
        assert client.get("/", **kept).status == 200
        assert client.send("POST", "/api/ask", b'{"question": "a"}', kept).status == 200
        assert client.send("POST", "/api/ask", b"{}", {**kept, "Origin": "http://evil.example"}).status == 403


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_the_loopback_of_ipv6_is_as_safe(chat):
    try:
        with socket.socket(socket.AF_INET6) as tried:
            tried.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 here")
    with served(chat, host="::1") as client:
        assert client.get("/api/about").status == 200
        assert client.get("/api/about", Host="evil.example").status == 421
        assert client.send("POST", "/api/ask", b"{}", {"Sec-Fetch-Site": "cross-site"}).status == 403
