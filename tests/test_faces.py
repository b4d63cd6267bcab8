"""What holds for both faces as packages."""

import subprocess
import sys

import pytest


def python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    ("face", "framework", "extra"),
    [
        ("rag_plugins.langchain", "langchain_core", "langchain"),
        ("rag_plugins.llama_index", "llama_index.core", "llama-index"),
    ],
)
def test_without_its_framework_a_face_says_what_to_install(face, framework, extra):
    result = python(f"import sys; sys.modules[{framework!r}] = None; import {face}")

    assert f"MissingExtra: {framework} is not installed: pip install 'rag-plugins[{extra}]'" in result.stderr


@pytest.mark.parametrize(
    ("face", "others"),
    [
        ("rag_plugins.langchain", ["torch", "PIL", "llama_index", "sentence_transformers"]),
        ("rag_plugins.llama_index", ["torch", "langchain_core", "sentence_transformers"]),
    ],
)
def test_importing_a_face_loads_no_model_library_and_no_other_framework(face, others):
    result = python(f"import sys, {face}; print([name for name in {others} if name in sys.modules])")

    assert result.stdout.strip() == "[]", result.stderr
