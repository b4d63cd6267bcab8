"""Milvus for tests: `milvus_uri` is a Lite file or a server in turn, `collection` a name of its own.

The server is Milvus Lite's, or the one at RAG_TEST_MILVUS_URI; see docs/milvus.md. Models run as on a
processor without OpenVINO, on torch fp32, but in tests marked `chosen`.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
from hypothesis import settings

from rag_plugins.models.compute import kept, rule

CHROMIUM = "/usr/bin/chromium"
_NAME = re.compile(r"test_[0-9a-f]{32}(_\w+)?")

# How long an example takes says more of the machine than of the code.
settings.register_profile("timeless", settings.default, deadline=None)
settings.load_profile("timeless")


_ON_A_PLAIN_PROCESSOR = {"find_spec": lambda name: None, "best_device": lambda: "cpu"}
_ON_THIS_MACHINE = {name: getattr(rule, name) for name in _ON_A_PLAIN_PROCESSOR}


@pytest.fixture(scope="session", autouse=True)
def exact(tmp_path_factory):
    """What models run on is not left to the machine, and models converted before to none but tests."""
    folder = tmp_path_factory.mktemp("converted")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept, "folder", lambda: folder)
        for name, function in _ON_A_PLAIN_PROCESSOR.items():
            patch.setattr(rule, name, function)
        yield


@pytest.fixture(autouse=True)
def chosen(request):
    """The rule as it is, for tests with this mark."""
    # Not the fixture `monkeypatch`, which would then outlast those that tests undo before it.
    with pytest.MonkeyPatch.context() as patch:
        if "chosen" in [mark.name for mark in request.node.iter_markers()]:
            for name, function in _ON_THIS_MACHINE.items():
                patch.setattr(rule, name, function)
        yield


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium. Of a module, no longer: while it runs, its event loop is the thread's."""
    from playwright.sync_api import Error, sync_playwright

    if not Path(CHROMIUM).exists():
        pytest.skip("chromium is not installed: apt-get install chromium")
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(
                executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
            )
        except Error as error:
            pytest.skip(f"chromium does not start: {error}")
        yield browser
        browser.close()


class MilvusServer:
    """`milvus-lite server` on loopback: the network path, without containers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = _free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self._process = None

    def start(self) -> None:
        command = [
            Path(sys.executable).with_name("milvus-lite"),
            "server",
            "--data-dir",
            self.folder / "data",
        ]
        with open(self.folder / "server.log", "ab") as log:
            self._process = subprocess.Popen(
                [*map(str, command), "--host", "127.0.0.1", "--port", str(self.port)], stdout=log, stderr=log
            )
        self._wait()

    def freeze(self) -> None:
        os.kill(self._process.pid, signal.SIGSTOP)
        os.waitpid(self._process.pid, os.WUNTRACED)  # It goes on for a moment otherwise.

    def thaw(self) -> None:
        os.kill(self._process.pid, signal.SIGCONT)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def _wait(self) -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end and self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), 0.5).close()
                return
            except OSError:
                time.sleep(0.02)
        raise RuntimeError((self.folder / "server.log").read_text())


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture
def own_milvus_server(tmp_path_factory):
    """A server that a test may stop, freeze and start again."""
    server = MilvusServer(tmp_path_factory.mktemp("own-milvus"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def milvus_server(tmp_path_factory):
    """The URI of a server that all tests share."""
    if given := os.environ.get("RAG_TEST_MILVUS_URI"):
        yield given
        _drop_all(given)
        return
    server = MilvusServer(tmp_path_factory.mktemp("milvus"))
    server.start()
    yield server.uri
    server.stop()


def _drop_all(uri):
    """A server that was there before is left as it was."""
    from pymilvus import MilvusClient

    client = MilvusClient(uri)
    for name in client.list_collections():
        if _NAME.fullmatch(name):
            client.drop_collection(name)
    client.close()


@pytest.fixture(params=["file", "server"])
def milvus_uri(request, tmp_path):
    """Each test that asks for it runs on a Lite file and on a server."""
    return str(tmp_path / "test.db") if request.param == "file" else request.getfixturevalue("milvus_server")


@pytest.fixture
def collection():
    """A name that no other test uses."""
    return f"test_{uuid.uuid4().hex}"
