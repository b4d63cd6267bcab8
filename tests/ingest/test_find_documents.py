from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from rag_plugins.errors import BadDocument
from rag_plugins.ingest.documents import KINDS, find_documents


def tree(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return root


def ids(paths: list[Path], root: Path | None) -> list[str]:
    return [file.doc_id for file in find_documents(paths, root).files]


def test_a_folder_gives_its_supported_files_sorted(tmp_path: Path):
    tree(tmp_path, "b.txt", "a/z.PDF", "a/y.png", "c.exe", ".hidden.txt", ".git/x.txt", "a/noise")
    found = find_documents([tmp_path], tmp_path)
    assert [file.doc_id for file in found.files] == ["a/y.png", "a/z.PDF", "b.txt"]
    assert found.bad == ()
    assert [file.kind for file in found.files] == ["image", "pdf", "text"]


def test_a_file_is_described_by_its_path_and_its_bytes(tmp_path: Path):
    path = tree(tmp_path, "note.md") / "note.md"
    (file,) = find_documents([str(path)]).files
    assert (file.path, file.doc_id, file.source) == (path, path.as_posix(), path.as_posix())
    assert file.sha256 == hashlib.sha256(b"note.md").hexdigest()


def test_the_order_given_is_kept_and_each_file_comes_once(tmp_path: Path):
    tree(tmp_path, "b.txt", "a.txt", "sub/c.txt")
    paths = [tmp_path / "sub/../b.txt", tmp_path, tmp_path / "a.txt"]
    assert ids(paths, tmp_path) == ["b.txt", "a.txt", "sub/c.txt"]


def test_relative_paths_start_at_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tree(tmp_path, "sub/c.txt")
    monkeypatch.chdir(tmp_path)
    assert ids([Path("sub")], Path("sub")) == ["c.txt"]
    assert ids([Path("sub/c.txt")], None) == [(tmp_path / "sub/c.txt").as_posix()]


def test_each_useless_path_is_one_failure_and_the_rest_is_found(tmp_path: Path):
    tree(tmp_path, "good.txt", "bad.exe", "bare")
    os.mkfifo(tmp_path / "pipe.txt")
    paths = [
        "",
        "nul\0",
        *(tmp_path / name for name in ("absent.txt", "bad.exe", "bare", "pipe.txt", "good.txt")),
    ]
    found = find_documents(paths)
    assert [file.path.name for file in found.files] == ["good.txt"]
    assert all(failure.page is None for failure in found.bad)
    reasons = [failure.reason for failure in found.bad]
    assert "empty path" in reasons[0]
    assert "null" in reasons[1]
    assert "No such file" in reasons[2]
    assert reasons[3].startswith(".exe: supported are .png")
    assert reasons[4].startswith("no suffix")
    assert reasons[5] == "not a regular file"


def test_a_file_outside_the_root_is_refused(tmp_path: Path):
    tree(tmp_path, "in/a.txt", "inside/b.txt", "c.txt")
    found = find_documents([tmp_path / "in", tmp_path / "inside", tmp_path / "in/../c.txt"], tmp_path / "in")
    assert [file.doc_id for file in found.files] == ["a.txt"]
    assert [Path(failure.file).name for failure in found.bad] == ["b.txt", "c.txt"]
    assert all("outside the root" in failure.reason for failure in found.bad)


def test_a_link_may_lead_elsewhere_below_the_root_but_not_out_of_it(tmp_path: Path):
    tree(tmp_path, "in/blob", "secret")
    (tmp_path / "in/scan.png").symlink_to(tmp_path / "in/blob")
    (tmp_path / "in/passwd.txt").symlink_to(tmp_path / "secret")
    (tmp_path / "in/loop").symlink_to(tmp_path / "in")
    found = find_documents([tmp_path / "in"], tmp_path / "in")
    assert [file.doc_id for file in found.files] == ["scan.png"]
    (failure,) = found.bad
    assert failure.file.endswith("passwd.txt")


def test_a_dangling_link_is_a_failure(tmp_path: Path):
    (tmp_path / "gone.pdf").symlink_to(tmp_path / "nowhere")
    (failure,) = find_documents([tmp_path]).bad
    assert "No such file" in failure.reason


def test_a_name_that_no_store_could_take_is_a_failure_that_can_be_printed(tmp_path: Path):
    with open(os.fsencode(tmp_path) + b"/\xff.txt", "wb"):
        pass
    (failure,) = find_documents([tmp_path]).bad
    assert isinstance(failure, BadDocument)
    assert str(failure).encode().endswith(b"\\xff.txt: the file name is not valid UTF-8: rename it")


def test_suffixes_are_lower_case_and_each_has_a_reader():
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in KINDS)
    assert set(KINDS.values()) == {"image", "pdf", "text", "markdown", "html", "docx"}


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("scans/*.pdf", ["scans/a.pdf"]),
        ("scans/**/*.pdf", ["scans/a.pdf", "scans/deep/er/c.pdf", "scans/sub/b.pdf"]),
        ("scans/*/?.p[dn]?", ["scans/sub/b.pdf", "scans/sub/b.png"]),
        ("*/sub", ["scans/sub/b.pdf", "scans/sub/b.png"]),  # A folder that matches is read whole.
        ("scans/**", ["scans/a.pdf", "scans/deep/er/c.pdf", "scans/sub/b.pdf", "scans/sub/b.png"]),
    ],
)
def test_a_pattern_stands_for_what_it_matches(tmp_path: Path, pattern: str, expected: list[str]):
    names = ("a.pdf", "a.exe", ".hidden.pdf", ".git/x.pdf", "sub/b.pdf", "sub/b.png", "deep/er/c.pdf")
    tree(tmp_path / "scans", *names)
    (tmp_path / "scans/loop").symlink_to(tmp_path / "scans")
    found = find_documents([tmp_path / pattern], tmp_path)
    assert sorted(file.doc_id for file in found.files) == expected
    assert found.bad == ()


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("*.pdf", "matches nothing that is supported: .png"),
        ("*.exe", "matches nothing that is supported"),
        ("absent/*.pdf", "No such file"),
        ("a**.txt", "'**'"),
    ],
)
def test_a_pattern_that_gives_nothing_is_a_failure(tmp_path: Path, pattern: str, reason: str):
    tree(tmp_path, "a.txt", "b.exe")
    found = find_documents([tmp_path / pattern, tmp_path / "a.txt"], tmp_path)
    if pattern.startswith("a**") and not found.bad:
        pytest.skip("this Python reads a** as a*")
    (failure,) = found.bad
    assert reason in failure.reason
    assert [file.doc_id for file in found.files] == ["a.txt"]


def test_a_file_whose_name_reads_like_a_pattern_is_that_file(tmp_path: Path):
    tree(tmp_path, "scan[1].txt", "scan1.txt")
    assert ids([tmp_path / "scan[1].txt"], tmp_path) == ["scan[1].txt"]


def test_a_pattern_does_not_lead_out_of_the_root(tmp_path: Path):
    tree(tmp_path, "in/a.txt", "b.txt")
    found = find_documents([tmp_path / "in/../*.txt"], tmp_path / "in")
    assert found.files == () and "outside the root" in found.bad[0].reason
