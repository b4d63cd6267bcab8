"""What tests of the chat's server and page use: a server on a free port, requests to it, a drawn scan."""

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from io import BytesIO
from pathlib import Path

import uvicorn
from PIL import Image, ImageDraw, ImageFont

from rag_plugins.chat.serving.app import make_app

BOUNDARY = "----between"


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def error(self) -> str:
        return self.json["error"]

    @property
    def events(self) -> list[tuple[str, dict]]:
        blocks = [block.split("\n") for block in self.text.split("\n\n") if block]
        return [(kind.removeprefix("event: "), json.loads(data[6:])) for kind, data in blocks]

    @property
    def answer(self) -> str:
        return "".join(data["piece"] for kind, data in self.events if kind == "text")


class Client:
    """Requests to one server, each on a connection of its own."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port

    def send(self, method: str, path: str, body=None, headers=None, chunked=False) -> Reply:
        connection = HTTPConnection(self.host, self.port, timeout=60)
        try:
            connection.request(method, path, body, headers or {}, encode_chunked=chunked)
            got = connection.getresponse()
            return Reply(got.status, {k.lower(): v for k, v in got.getheaders()}, got.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Reply:
        return self.send("GET", path, headers=headers)

    def ask(self, question: str, **more) -> Reply:
        return self.send("POST", "/api/ask", json.dumps({"question": question, **more}))

    def upload(self, *files: tuple[str, bytes]) -> Reply:
        return self.send("POST", "/api/documents", form(*files), {"Content-Type": FORM})

    def uploaded(self, *files: tuple[str, bytes]) -> dict:
        """What is told of the files once they are read."""
        job = self.upload(*files).json["job"]
        return until(lambda: (state := self.get(f"/api/jobs/{job}").json)["finished"] and state)

    def names(self) -> list[str]:
        return [document["name"] for document in self.get("/api/documents").json["documents"]]


FORM = f"multipart/form-data; boundary={BOUNDARY}"


def form(*files: tuple[str, bytes]) -> bytes:
    """Files as a browser sends them; a name goes in as it stands."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode()
        + data
        + b"\r\n"
        for name, data in files
    ]
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def until(condition, seconds=60):
    """What a condition gives once it holds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s")


@contextmanager
def served(chat, host="127.0.0.1", **settings):
    """The app on a free port, in a thread; it is stopped at the end."""
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listening.bind((host, 0))
    server = uvicorn.Server(
        uvicorn.Config(
            make_app(chat, "manual", **settings),
            log_level="critical",
            log_config=None,
            ws="none",
            timeout_graceful_shutdown=1,
        )
    )
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        until(lambda: server.started)
        yield Client(host, listening.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(20)
        listening.close()
        assert not thread.is_alive()


def _interruptible():
    """Ctrl-C ends it, also where the tests run in the background of a shell, which ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def running(*arguments: str | Path, seconds=120):
    """`rag-plugins chat` as a user runs it, on a free port: the process, and the address that it prints."""
    command = [sys.executable, "-c", "from rag_plugins.cli import main; main()", "chat", *map(str, arguments)]
    process = subprocess.Popen(
        [*command, "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=_interruptible,
    )
    guard = threading.Timer(seconds, process.kill)
    guard.start()
    try:
        told = next((line for line in process.stdout if "http" in line), "nothing")
        yield process, re.search(r"http://\S+", told)[0]
    finally:
        process.terminate()
        process.communicate()  # Until it has ended; the guard kills it where it does not.
        guard.cancel()


def scan(*lines: str) -> bytes:
    """A page with large type, as PNG."""
    page = Image.new("L", (1240, 1754), 255)
    font = ImageFont.load_default(44)
    for number, line in enumerate(lines):
        ImageDraw.Draw(page).text((110, 200 + 60 * number), line, fill=0, font=font)
    out = BytesIO()
    page.save(out, "PNG", dpi=(150, 150))
    return out.getvalue()
