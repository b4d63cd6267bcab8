"""Without a network the `local` preset reads, indexes and answers."""

import os
import shutil
import subprocess
import sys

import pytest

from rag_plugins.demo.examples import QUESTIONS

BLOCK = """
import sys

def only_loopback(event, arguments):
    if event == "socket.connect":
        host = arguments[1][0] if isinstance(arguments[1], tuple) else None
    elif event == "socket.getaddrinfo":
        host = arguments[0]
    else:
        return
    if host not in ("127.0.0.1", "::1", "localhost", None):
        print("ASKED FOR", host, flush=True)
        raise OSError(f"no network: {host}")

sys.addaudithook(only_loopback)
"""

ANSWER = """
import sys
from rag_plugins import RagIndex
from rag_plugins.demo.examples import QUESTIONS, example_documents

with example_documents() as folder, RagIndex.open(sys.argv[1]) as index:
    paths = [folder / "bulletin-sb-2019-07.jpg", folder / "workshop-notes.md", folder / "datasheet-pc2.pdf"]
    print("bad", [str(error) for error in index.ingest(paths, root=folder).bad])
    for question in QUESTIONS:
        hits = index.search(question.text, k=3)
        print(question.source, any(question.answer in hit.passage.llm_text for hit in hits))
"""

REFUSED = """
import socket
try:
    socket.create_connection(("192.0.2.1", 80), timeout=5)
except OSError as error:
    print(type(error).__name__)
"""


def answers(folder, *before, script=BLOCK + ANSWER):
    environment = {**os.environ, "HF_HOME": str(folder / "none")}
    environment.pop("HF_HUB_OFFLINE", None)
    command = [*before, sys.executable, "-c", script, str(folder / "index.db")]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280)


def check(done):
    assert done.returncode == 0, done.stderr[-3000:]
    assert "ASKED FOR" not in done.stdout
    bad, *told = done.stdout.splitlines()
    assert bad == "bad []"
    read = {"bulletin-sb-2019-07.jpg"}  # A scan: Tesseract reads it.
    expected = [f"{question.source} True" for question in QUESTIONS if question.source in read]
    assert expected and [line for line in told if line.split()[0] in read] == expected


def test_the_block_holds(tmp_path):
    done = answers(tmp_path, script=BLOCK + REFUSED)
    assert done.stdout.split() == ["ASKED", "FOR", "192.0.2.1", "OSError"], done.stderr


@pytest.mark.faults
def test_the_local_preset_asks_for_no_address(tmp_path):
    check(answers(tmp_path))


@pytest.mark.faults
def test_the_local_preset_answers_where_there_is_no_network(tmp_path):
    """In a network namespace of its own, which has nothing but a loopback."""
    alone = ["unshare", "-rn", "sh", "-c", 'ip link set lo up 2>/dev/null; exec "$@"', "sh"]
    if not shutil.which("unshare") or subprocess.run([*alone, "true"], capture_output=True).returncode:
        pytest.skip("no namespaces of one's own here")
    check(answers(tmp_path, *alone, script=ANSWER))
