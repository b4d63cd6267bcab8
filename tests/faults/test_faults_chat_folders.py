"""Temporary folders of chats: those of killed processes go at the next start, those of living ones stay."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from rag_plugins.chat.serving.folders import OwnFolder

HOLDS = """
import sys
from rag_plugins.chat.serving.folders import OwnFolder
folder = OwnFolder()
(folder.path / "batch").mkdir()
(folder.path / "batch" / "scan.png").write_bytes(b"secret page")
print(folder.path, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def holder(temporary):
    environment = {**os.environ, "TMPDIR": str(temporary)}
    process = subprocess.Popen([sys.executable, "-c", HOLDS], stdin=-1, stdout=-1, text=True, env=environment)
    return process, temporary / process.stdout.readline().strip()


def end(process):
    process.stdin.close()
    process.stdout.close()
    return process.wait(60)


def test_of_the_killed_it_goes_of_the_living_it_stays(temporary):
    (killed, theirs), (living, others) = holder(temporary), holder(temporary)
    killed.kill()
    end(killed)
    assert theirs.exists()
    first = OwnFolder()
    second = OwnFolder()
    assert not theirs.exists()
    assert others.exists() and first.path.exists() and second.path.exists()
    assert end(living) == 0
    assert not others.exists()  # It goes with the end of its process.
    first.remove()
    second.remove()
    second.remove()
    assert not list(temporary.iterdir())


def test_nothing_else_is_touched(temporary):
    elsewhere, file = temporary / "elsewhere", temporary / "rag-plugins-chat-notes"
    elsewhere.mkdir()
    (elsewhere / "kept").write_text("kept")
    file.write_text("mine")
    link = temporary / "rag-plugins-chat-link"
    link.symlink_to(elsewhere)
    (temporary / "rag-plugins-demo-1").mkdir()
    OwnFolder().remove()
    assert (elsewhere / "kept").read_text() == "kept" and file.read_text() == "mine" and link.is_symlink()
    assert (temporary / "rag-plugins-demo-1").exists()


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="needs users")
def test_another_users_stays(temporary, monkeypatch):
    left = temporary / "rag-plugins-chat-left"
    left.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr("os.getuid", lambda: left.stat().st_uid + 1)
        OwnFolder().remove()
        assert left.exists()
    OwnFolder().remove()
    assert not left.exists()


def test_many_starts_at_once_do_not_take_each_others(temporary):
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: OwnFolder(), range(40)))
    assert len({each.path for each in made}) == 40 and all(each.path.exists() for each in made)
    for each in made:
        each.remove()
    assert not list(temporary.iterdir())
