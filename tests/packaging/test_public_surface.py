"""What users may import, and what importing costs them."""

import importlib
import pkgutil
import subprocess
import sys
from statistics import median

import pytest

import rag_plugins

MODULES = sorted(module.name for module in pkgutil.walk_packages(rag_plugins.__path__, prefix="rag_plugins."))

HEAVY = ("torch", "transformers", "sentence_transformers", "langchain_core", "llama_index", "pymilvus", "PIL")


def run(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    ).stdout


@pytest.mark.parametrize("name", rag_plugins.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(rag_plugins, name) is not None
    assert name in dir(rag_plugins)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        rag_plugins.Nonsense  # noqa: B018


@pytest.mark.parametrize("name", MODULES)
def test_every_module_imports_and_says_what_is_public(name: str) -> None:
    module = importlib.import_module(name)
    for public in module.__all__ if hasattr(module, "__all__") else ():
        assert hasattr(module, public), f"{name}.__all__ names {public}"


@pytest.mark.parametrize(
    ("face", "names"),
    [
        ("langchain", {"HybridRetriever", "MatryoshkaEmbeddings", "CrossEncoderCompressor", "OcrLoader"}),
        ("llama_index", {"HybridRetriever", "MatryoshkaEmbedding", "CrossEncoderPostprocessor", "OcrReader"}),
    ],
)
def test_the_faces_have_what_the_readme_promises(face: str, names: set[str]) -> None:
    assert names <= set(importlib.import_module(f"rag_plugins.{face}").__all__)


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import rag_plugins", HEAVY),
        ("from rag_plugins import Config, EmbedText, Passage, where", HEAVY),
        ("import rag_plugins.cli", HEAVY),
        ("from rag_plugins import RagIndex", ("torch", "transformers", "langchain_core", "llama_index")),
    ],
)
def test_importing_loads_nothing_heavy(statement: str, absent: tuple[str, ...]) -> None:
    assert run(f"{statement}; import sys; print([m for m in {absent} if m in sys.modules])") == "[]\n"


def test_importing_the_package_is_quick() -> None:
    """Under 0.2 s; measured .01 to .02 s. The median of five evens out what else the machine does."""
    code = "import time; start = time.perf_counter(); import rag_plugins; print(time.perf_counter() - start)"
    assert median(float(run(code)) for _ in range(5)) < 0.2
