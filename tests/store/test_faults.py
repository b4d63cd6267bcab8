"""Locks, crashes, servers that die, hang or are not there: one typed error, and nothing lost."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pymilvus import MilvusClient
from store_rows import arguments, name, row, unit

from rag_plugins.config import StoreConfig
from rag_plugins.errors import ConfigError, StoreError, StoreLocked, StoreUnavailable
from rag_plugins.store.milvus import MilvusStore

HERE = Path(__file__).parent

OPEN = "store = MilvusStore.open(sys.argv[1], **arguments()); print('ready', flush=True)"
WAIT = OPEN + "\nsys.stdin.read()"
WRITE = (
    OPEN
    + """
for n in range(0, 100_000, 5):
    store.upsert([row(n + m, text="x" * 70_000 if m == 0 else "t", tokens=b"t") for m in range(5)])
    store.delete([name(n + 4)])
    print(n, flush=True)
"""
)


@contextlib.contextmanager
def process(code, path):
    """Another Python process, once it has opened its store."""
    lines = "import sys\nfrom store_rows import *\nfrom rag_plugins.store.milvus import MilvusStore\n" + code
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent.parent)])}
    child = subprocess.Popen(
        [sys.executable, "-c", lines, str(path)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout.readline() == "ready\n"
        yield child
    finally:
        child.kill()
        child.communicate()


def test_a_second_process_is_told_of_the_lock_and_of_the_cure(tmp_path, capfd, caplog):
    path = tmp_path / "deep" / "in" / "handbook.db"
    with process(WAIT, path) as child:
        capfd.readouterr()
        with pytest.raises(StoreLocked) as caught:
            MilvusStore.open(path, **arguments())
    for words in (str(path), f"in use by process {child.pid} (python", "LOCK", "milvus-lite server"):
        assert words in str(caught.value)
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []
    MilvusStore.open(path, **arguments()).close()


def test_closing_the_last_store_frees_the_file(tmp_path):
    path = tmp_path / "handbook.db"
    (tmp_path / "link").symlink_to(tmp_path)
    one, two = (
        MilvusStore.open(path, **arguments()),
        MilvusStore.open(tmp_path / "link" / "handbook.db", **arguments()),
    )
    one.upsert([row(1)])
    one.close()
    assert two.fetch([name(1)]) == {name(1): row(1).passage}
    two.close()
    with process(WAIT, path), pytest.raises(StoreLocked):
        MilvusStore.open(path, **arguments())


@pytest.mark.parametrize("lines", [1, 4, 9])
def test_what_was_acknowledged_survives_a_killed_process(tmp_path, lines):
    path = tmp_path / "handbook.db"
    with process(WRITE, path) as child:
        last = [int(child.stdout.readline()) for _ in range(lines)][-1]
        time.sleep(0.01 * lines)
        child.send_signal(signal.SIGKILL)
        child.wait()
    with MilvusStore.open(path, **arguments()) as store:
        acknowledged = {name(n): row(n).passage for n in range(last + 5) if n % 5 != 4}
        found = store.fetch(list(acknowledged))
        assert found.keys() == acknowledged.keys()
        assert {len(passage.llm_text) for passage in found.values()} == {1, 70_000}
        assert store.fetch_tokens("dense", list(acknowledged)).keys() == acknowledged.keys()
        deleted = {name(n) for n in range(last + 5) if n % 5 == 4}
        hits = [id for id, _ in store.search("dense", unit(1.0), 16_384)]
        assert len(hits) == len(set(hits)) == store.count() == len(store.ids())
        assert acknowledged.keys() <= set(hits) and not deleted & set(hits)


def test_rows_that_lite_has_twice_after_a_crash_are_made_one(tmp_path, monkeypatch):
    path = tmp_path / "handbook.db"
    log = path / "collections" / "passages" / "wal"
    with MilvusStore.open(path, **arguments()) as store:
        with monkeypatch.context() as patch:
            patch.setattr(store._engine, "flush", lambda name: None)
            store.upsert([row(n, metadata={"n": n}) for n in range(5)])
        shutil.copytree(log, tmp_path / "kept")
        store._engine.flush("passages")
    assert not store._engine.recovered
    # As if killed after the segment was written, and before its log was removed.
    shutil.copytree(tmp_path / "kept", log, dirs_exist_ok=True)
    with MilvusStore.open(path, **arguments()) as store:
        assert store._engine.recovered
        assert store.count() == len(store.ids()) == len(store._engine.ids("passages", 'id != ""')) == 5
        assert len(store.search("dense", unit(1.0), 3)) == 3
        assert store.fetch([name(3)]) == {name(3): row(3, metadata={"n": 3}).passage}


def test_a_server_that_comes_back_is_used_again(own_milvus_server, tmp_path):
    config = StoreConfig(timeout=2.0, assets=tmp_path)
    with MilvusStore.open(own_milvus_server.uri, **arguments(config=config)) as store:
        store.upsert([row(1, tokens=b"t")])
        own_milvus_server.stop()
        with pytest.raises(StoreUnavailable, match="is the server running"):
            store.search("dense", unit(1.0), 5)
        own_milvus_server.start()
        start = time.monotonic()
        while True:
            with contextlib.suppress(StoreUnavailable):
                assert store.search("dense", unit(1.0), 5) == [(name(1), 1.0)]
                break
        assert time.monotonic() - start < 10.0
        assert store.fetch([name(1)]) == {name(1): row(1).passage}
        assert store.fetch_tokens("dense", [name(1)]) == {name(1): b"t"}
        assert store.state.get("header")
        store.upsert([row(2)])
        assert store.count() == 2


def test_a_server_that_hangs_gives_one_error_at_the_deadline(own_milvus_server, tmp_path):
    config = StoreConfig(timeout=0.5, assets=tmp_path)
    with MilvusStore.open(own_milvus_server.uri, **arguments(config=config)) as store:
        store.upsert([row(1)])
        own_milvus_server.freeze()
        for call in (
            lambda: store.search("dense", unit(1.0), 5),
            lambda: store.fetch([name(1)]),
            lambda: store.upsert([row(2)]),
            lambda: store.ids(),
            lambda: store.state.put({"k": 1}),
            lambda: MilvusStore.open(own_milvus_server.uri, **arguments(config=config)),
        ):
            start = time.monotonic()
            with pytest.raises(StoreUnavailable):
                call()
            assert 0.4 < time.monotonic() - start < 0.9
        own_milvus_server.thaw()
        assert store.fetch([name(1)]) == {name(1): row(1).passage}


def test_a_server_that_is_not_there_is_named_without_its_password(capfd):
    config = StoreConfig(timeout=0.5, token="canary-token")
    with pytest.raises(StoreUnavailable) as caught:
        MilvusStore.open("http://user:canary-password@127.0.0.1:9", **arguments(config=config))
    assert "http://127.0.0.1:9" in str(caught.value)
    assert "canary" not in str(caught.value) + repr(caught.value) + repr(config)
    assert capfd.readouterr() == ("", "")


def test_the_token_is_nowhere_to_be_seen(own_milvus_server, tmp_path):
    config = StoreConfig(token="canary-token", assets=tmp_path)
    with MilvusStore.open(own_milvus_server.uri, **arguments(config=config)) as store:
        assert "canary" not in repr(store) + str(store) + str(vars(store)) + str(vars(store._engine))


@pytest.mark.parametrize("uri", ["handbook", "handbook.sqlite", "", "ftp://host/x", "x.db\0.db"])
def test_an_unusable_address_is_refused(uri):
    with pytest.raises(ConfigError):
        MilvusStore.open(uri, **arguments())


def test_a_file_of_an_older_lite_is_explained(tmp_path):
    (tmp_path / "old.db").write_bytes(b"SQLite format 3\0")
    with pytest.raises(StoreError, match="cannot read files of Lite 2"):
        MilvusStore.open(tmp_path / "old.db", **arguments())
    assert (tmp_path / "old.db").read_bytes() == b"SQLite format 3\0"


def test_a_lite_that_ranks_wrongly_is_refused(tmp_path, monkeypatch):
    for version, good in (("milvus_lite-3.2.1", False), ("milvus_lite-3.10.0", True), ("v2.4.0", True)):
        with monkeypatch.context() as patch:
            patch.setattr(MilvusClient, "get_server_version", lambda self, timeout, version=version: version)
            if good:
                MilvusStore.open(
                    tmp_path / "handbook.db", **arguments(collection="c" + version.partition(".")[0][-1])
                ).close()
                continue
            with pytest.raises(StoreError, match=r"ranks sparse vectors wrongly.*milvus-lite>=3\.2\.2"):
                MilvusStore.open(tmp_path / "handbook.db", **arguments())


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="opening"):
        MilvusStore.open(tmp_path / "file" / "handbook.db", **arguments())


def test_home_is_expanded_and_assets_lie_beside_the_file(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with MilvusStore.open("~/new/handbook.db", **arguments()) as store:
        store.assets.put(b"image")
        store.upsert([row(1, tokens=b"t")])
    found = {path.name for path in (tmp_path / "new").iterdir()}
    assert found == {"handbook.db", "handbook.db.assets", "handbook.db.manifest", "handbook.db.tokens"}


def test_a_server_keeps_assets_where_the_user_keeps_data(milvus_server, tmp_path, monkeypatch, collection):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with MilvusStore.open(milvus_server, **arguments(collection=collection)) as store:
        assert store.assets.folder == tmp_path / "rag-plugins" / "assets"


def test_damaged_tokens_are_an_error_that_says_what_to_do(tmp_path):
    (tmp_path / "handbook.db.tokens").write_bytes(b"no database at all" * 100)
    with (
        MilvusStore.open(tmp_path / "handbook.db", **arguments()) as store,
        pytest.raises(StoreError, match="it may be deleted"),
    ):
        store.fetch_tokens("dense", [name(1)])


FORK = """
import os
store = MilvusStore.open(sys.argv[1], **arguments())
def attempt(call):
    try:
        call()
    except Exception as error:
        print(type(error).__name__, error, flush=True)
child = os.fork()
if not child:
    attempt(lambda: store.count())
    attempt(lambda: MilvusStore.open(sys.argv[1], **arguments()))
    store.close()
    os._exit(0)
_, status = os.waitpid(child, 0)
print("child", os.waitstatus_to_exitcode(status), flush=True)
store.upsert([row(1)])
print(store.count(), flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_is_refused_and_its_parent_goes_on(tmp_path, capfd):
    with process("print('ready', flush=True)" + FORK, tmp_path / "handbook.db") as child:
        lines = child.stdout.read().splitlines()
    assert "fork() handlers" not in capfd.readouterr().err  # gRPC's: they kill the child now and then.
    assert [line.partition(" ")[0] for line in lines] == ["StoreError", "StoreError", "child", "1"], lines
    assert lines[2] == "child 0"
    assert all("forked" in line and "spawn" in line for line in lines[:2])
