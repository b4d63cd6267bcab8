"""A disk that fills up: one typed error that says what to do, nothing acknowledged lost, an exact resume.

The disk is a small tmpfs, which takes root and CAP_SYS_ADMIN. Without these the tests are skipped.
"""

import gc
import logging
import os
import shutil
import subprocess

import pytest
from faults_support_activities import Session, document, opened
from faults_support_damage import as_killed

from rag_plugins.errors import StoreError

FULL = "disk is full; free some space"

# Lite leaves the log open that it could not close.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <_io:pytest.PytestUnraisableExceptionWarning"
)


class Disk:
    """A small file system; `fill` leaves so many bytes of it free."""

    def __init__(self, folder, size):
        self.folder = folder
        self._mount(f"size={size}")

    def fill(self, leave=0):
        self.clear()
        free = os.statvfs(self.folder)
        (self.folder / "filler").write_bytes(b"\0" * max(free.f_bavail * free.f_frsize - leave, 0))

    def clear(self):
        (self.folder / "filler").unlink(missing_ok=True)

    def grow(self, size):
        self._mount(f"remount,size={size}")

    def close(self):
        # Lazy, since something of what is tested may still be open.
        subprocess.run(["umount", "--lazy", self.folder], check=True)

    def _mount(self, options):
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", self.folder], check=True, capture_output=True
        )


@pytest.fixture
def disk(tmp_path):
    (tmp_path / "disk").mkdir()
    try:
        disk = Disk(tmp_path / "disk", "4m")
    except (OSError, subprocess.CalledProcessError) as error:
        why = getattr(error, "stderr", b"").decode().strip() or error
        pytest.skip(f"a tmpfs cannot be mounted here, which takes CAP_SYS_ADMIN: {why}")
    yield disk
    disk.close()


@pytest.fixture(autouse=True)
def quiet():
    """Milvus Lite logs a traceback of each write that failed."""
    logging.getLogger("milvus_lite").setLevel(logging.CRITICAL)
    yield
    gc.collect()
    logging.getLogger("milvus_lite").setLevel(logging.NOTSET)


@pytest.fixture
def session(disk, tmp_path):
    (tmp_path / "files").mkdir()
    session = Session(disk.folder / "handbook.db", tmp_path / "files")
    session.do(["open"])
    yield session
    closed(session)


def closed(session):
    """What cannot be saved on a full disk is said, and made anew when the index is opened."""
    try:
        session.close()
    except StoreError as error:
        assert FULL in str(error)
        session.index = None


def keys(start, count):
    return {key: 0 for key in range(start, start + count)}


def callers(index):
    return sorted(int(passage.caller_id) for passage in index.find())


def until_full(session, step):
    """Adds till the disk is full; how many passages were acknowledged, and the error."""
    acknowledged = 0
    while True:
        try:
            session.do(["add", keys(acknowledged, step)])
        except StoreError as error:
            return acknowledged, str(error)
        acknowledged += step
        assert acknowledged < 10_000


def test_adding_till_the_disk_is_full_and_going_on_after_it_has_grown(disk, session):
    acknowledged, error = until_full(session, 60)
    assert FULL in error and "handbook.db" in error and acknowledged >= 60
    assert set(range(acknowledged)) <= set(callers(session.index))
    hits = [hit.passage.id for hit in session.index.search("common", k=1000, legs=["bm25"])]
    assert len(hits) == len(set(hits)) >= acknowledged
    closed(session)
    disk.grow("64m")
    session.do(["open"])
    assert set(range(acknowledged)) <= set(callers(session.index)) <= set(range(acknowledged + 60))
    session.do(["add", keys(acknowledged, 60)])
    assert callers(session.index) == list(range(acknowledged + 60))
    session.close()
    with opened(session.path) as index:
        assert callers(index) == list(range(acknowledged + 60))
        hits = [hit.passage.id for hit in index.search("common", k=1000, legs=["bm25"])]
        assert sorted(hits) == index.store.ids()


def test_ingestion_that_fills_the_disk_is_resumed_by_ingesting_again(disk, session, tmp_path):
    for number in range(4):
        (session.folder / f"manual-{number}.md").write_text(document(number, 0, "md", 60), encoding="utf-8")
    with opened(tmp_path / "reference.db") as reference:
        reference.ingest([session.folder], root=session.folder)
        expected = {passage.id: passage for passage in reference.find()}
    disk.fill(leave=1_000_000)
    with pytest.raises(StoreError, match=FULL):
        session.index.ingest([session.folder], root=session.folder)
    stored = {passage.id: passage for passage in session.index.find()}
    assert stored.items() <= expected.items()
    closed(session)
    disk.clear()
    disk.grow("64m")
    session.do(["open"])
    assert stored.keys() <= set(session.index.store.ids()) <= expected.keys()
    session.index.ingest([session.folder], root=session.folder)
    assert {passage.id: passage for passage in session.index.find()} == expected
    again = session.index.ingest([session.folder], root=session.folder)
    assert (again.documents, again.unchanged) == (0, 4)


def test_nothing_is_written_behind_a_write_that_found_no_room(disk, session, tmp_path):
    """Milvus Lite reads its log up to where that write broke off: what came after would be lost."""

    def long(number):
        return session.index.passage(f"long {number} " + "x" * 70_000, caller_id=str(number))

    session.do(["add", keys(0, 10)])
    disk.fill(leave=8192)
    with pytest.raises(StoreError, match=FULL):
        session.index.add([long(100)])
    disk.clear()
    for change in (
        lambda: session.index.add([long(101)]),
        lambda: session.index.remove(["1"]),
        lambda: session.index.store.state.put({"key": "value"}),
    ):
        with pytest.raises(StoreError, match=f"(?s)after this.*{FULL}"):
            change()
    assert set(range(10)) <= set(callers(session.index))
    # Once it is open again, it writes, and a crash takes nothing of what it has acknowledged.
    closed(session)
    session.do(["open"])
    session.index.add([long(102)])
    session.index.remove(["1"])
    (tmp_path / "killed").mkdir()
    killed = as_killed(session.path, tmp_path / "killed" / "handbook.db")
    shutil.rmtree(killed.with_name("handbook.db.resident"))
    with opened(killed) as index:
        assert set(callers(index)) - {100} == {*range(10), 102} - {1}
        assert index.get(["102"]) == [long(102)]


@pytest.mark.faults
def test_a_database_is_not_opened_while_full_and_is_when_it_is_not(disk, session, tmp_path):
    acknowledged, _ = until_full(session, 40)
    closed(session)
    disk.fill()
    try:
        with opened(session.path) as index:
            assert set(range(acknowledged)) <= set(callers(index))
    except StoreError as error:
        assert FULL in str(error)
    disk.grow("64m")
    disk.clear()
    with opened(session.path) as index:
        assert set(range(acknowledged)) <= set(callers(index))


@pytest.mark.parametrize("beside", [".tokens", ".assets", ".resident"])
def test_a_full_disk_of_what_lies_beside_the_file(disk, tmp_path, beside):
    """Each of them on a disk of its own, which is full: pages fail, what is derived is done without."""
    path = tmp_path / "handbook.db"
    with opened(path) as index:
        session = Session(path, tmp_path)
        session.index = index
        session.do(["add", keys(0, 30)])
    moved(path.with_name(path.name + beside), disk.folder / "moved")
    disk.fill()
    with opened(path) as index:
        session.index = index
        failed = attempted(session, beside)
        assert ("full" in failed) is (beside != ".resident"), failed
        assert set(range(30)) <= set(callers(index))
        if beside != ".tokens":  # SQLite cannot read either then, and reranking reads tokens.
            assert index.search("common", k=5)
    disk.clear()
    with opened(path) as index:
        session.index = index
        session.do(["add", keys(30, 60)])
        asset = index.assets.put(b"\x89PNG\r\n\x1a\n" + bytes(100_000))
        assert callers(index) == list(range(90))
        assert len(index.assets.get(asset)) == 100_008
        ids = index.store.ids()
        assert sorted(index.store.fetch_tokens("dense", ids)) == ids
    with opened(path) as index:
        assert callers(index) == list(range(90))


def attempted(session, beside):
    try:
        if beside == ".assets":
            session.index.assets.put(b"\x89PNG\r\n\x1a\n" + bytes(100_000))
        else:
            session.do(["add", keys(30, 60)])
    except StoreError as error:
        assert FULL in str(error) and f"handbook.db{beside}" in str(error)
        return str(error)
    return "nothing"


def moved(path, target):
    """To the other disk, with a link in its place."""
    if path.exists():
        shutil.move(path, target)
    elif path.suffix != ".tokens":
        target.mkdir()
    path.symlink_to(target)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
