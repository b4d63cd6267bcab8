"""OpenVINO itself."""

from __future__ import annotations

import sys
from functools import cache
from threading import Lock
from types import ModuleType
from typing import Any

from rag_plugins.errors import require

__all__ = ["core", "runtime"]

_TELEMETRY = "openvino_telemetry"

_importing = Lock()


def runtime(module: str = "openvino") -> Any:
    """OpenVINO or a module of it, imported without its telemetry. Raises `MissingExtra`.

    As installed, the import alone sends an event over the network and writes an id into the user's home.
    It does without where its telemetry package is absent, so that is what it finds here; where others
    imported it before, it is as they chose.
    """
    modules: dict[str, ModuleType | None] = sys.modules  # pyright: ignore[reportAssignmentType]
    with _importing:
        hidden = modules.setdefault(_TELEMETRY, None) is None
        try:
            return require(module, extra="openvino")
        finally:
            if hidden:
                del modules[_TELEMETRY]


@cache
def core() -> Any:
    """What compiles models, one for the process."""
    return runtime().Core()
