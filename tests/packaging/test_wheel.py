"""The wheel carries all that is needed and works where there is no checkout."""

import email
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
import trove_classifiers

ROOT = Path(__file__).parents[2]


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built without isolation, which would need a network."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    (wheel,) = folder.glob("rag_plugins-*.whl")
    return wheel


@pytest.fixture(scope="session")
def elsewhere(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel in it.

    Third parties come from this one: a line in a .pth file is put on the path, but .pth files found there
    are not read, so the editable install of the checkout stays out.
    """
    folder = tmp_path_factory.mktemp("elsewhere")
    venv = folder / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", venv, cwd=folder)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    (venv / "lib" / version / "site-packages" / "third_parties.pth").write_text(sysconfig.get_path("purelib"))
    pip = [sys.executable, "-m", "pip", "--python", venv / "bin" / "python"]
    run(*pip, "install", "--quiet", "--no-deps", "--no-index", wheel, cwd=folder)
    return folder


def test_the_wheel_has_code_types_data_and_licence(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    expected = ["py.typed", "cli/__init__.py", "demo/report.html.j2"]
    page = (ROOT / "rag_plugins/chat/serving/page").iterdir()
    expected += [f"chat/serving/page/{path.name}" for path in page]
    assert {f"rag_plugins/{name}" for name in expected} <= set(names)
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert not [name for name in names if name.startswith(("tests/", "examples/", "benchmarks/"))]


def test_its_metadata_are_what_an_index_accepts(wheel: Path) -> None:
    packed = zipfile.ZipFile(wheel)
    (name,) = [name for name in packed.namelist() if name.endswith(".dist-info/METADATA")]
    metadata = email.message_from_bytes(packed.read(name))
    stated = metadata.get_all("Classifier") or []

    assert set(stated) <= trove_classifiers.classifiers
    assert not set(stated) & trove_classifiers.deprecated_classifiers.keys()
    assert metadata["License-Expression"] == "Apache-2.0"
    assert not [each for each in stated if each.startswith("License ::")]  # Refused beside an expression.
    assert metadata["Requires-Python"] == ">=3.11"
    assert {"langchain", "llama-index", "all"} <= set(metadata.get_all("Provides-Extra") or [])


def test_the_wheel_has_every_example_document_and_stays_small(wheel: Path) -> None:
    documents = {path.name for path in (ROOT / "rag_plugins/demo/documents").iterdir()}
    packed = [
        info
        for info in zipfile.ZipFile(wheel).infolist()
        if info.filename.startswith("rag_plugins/demo/documents/")
    ]
    assert {Path(info.filename).name for info in packed} == documents
    assert len(documents) >= 5
    assert sum(info.file_size for info in packed) < 1_000_000


def test_installed_it_is_imported_from_the_environment(elsewhere: Path) -> None:
    where = run(
        elsewhere / "venv/bin/python", "-c", "import rag_plugins; print(rag_plugins.__file__)", cwd=elsewhere
    )
    assert where.startswith(str(elsewhere))


def test_installed_its_version_is_the_metadata_s(elsewhere: Path) -> None:
    code = "import importlib.metadata as m, rag_plugins as r; print(m.version('rag-plugins'), r.__version__)"
    recorded, stated = run(elsewhere / "venv/bin/python", "-c", code, cwd=elsewhere).split()
    assert recorded == stated


def test_installed_it_lists_its_presets(elsewhere: Path) -> None:
    assert "all-MiniLM-L6-v2" in run(elsewhere / "venv/bin/rag-plugins", "presets", cwd=elsewhere)


def test_installed_it_runs_the_demo(elsewhere: Path) -> None:
    shown = run(elsewhere / "venv/bin/rag-plugins", "demo", "--output", "out/report.html", cwd=elsewhere)
    assert "handbook-aq310.tif, page 4" in shown
    assert "data:image/" in (elsewhere / "out/report.html").read_text(encoding="utf-8")
