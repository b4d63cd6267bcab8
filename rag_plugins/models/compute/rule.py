"""The rule that says what a model runs on."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rag_plugins.config.compute import Backend, ComputeConfig, Precision
from rag_plugins.errors import ConfigError, MissingExtra, require

__all__ = [
    "BF16",
    "CPU_BUDGET",
    "RULE",
    "Choice",
    "best_device",
    "choose",
    "cores",
    "processor",
    "processors",
]

RULE = (
    ("an accelerator (cuda, mps, …)", "torch", "bf16 on cuda cards that have it, else fp32"),
    ("a processor that lists bf16, OpenVINO installed", "openvino", "bf16"),
    ("any other processor, OpenVINO installed", "openvino", "fp32"),
    ("a processor, no OpenVINO", "torch", "fp32"),
    ("a model that OpenVINO cannot run as torch does", "torch", "fp32"),
)
"""When, on what, in which precision, where settings leave it open; int8 only where asked, on OpenVINO."""

BF16 = frozenset({"avx512_bf16", "amx_bf16"})
"""Features of a processor that multiplies bfloat16 natively, as /proc/cpuinfo has them."""

_CPUINFO = Path("/proc/cpuinfo")

CPU_BUDGET = 1024
"""Tokens a batch: measured as the fastest for small models and for large, by torch and by OpenVINO."""

_ACCELERATOR_BUDGET = 32768


@dataclass(frozen=True, slots=True)
class Choice:
    """What a model runs on, and why; `budget` is tokens a batch, padding included."""

    backend: Backend
    precision: Precision
    device: str
    budget: int
    why: str

    def __str__(self) -> str:
        """In a line."""
        return f"{self.backend} {self.precision} on {self.device}: {self.why}"


def choose(settings: ComputeConfig, device: str | None) -> Choice:
    """By `RULE`, as far as settings leave it open.

    Raises `ConfigError` for what is asked and cannot be had, `MissingExtra` where OpenVINO is asked for and
    not installed.
    """
    place = device or best_device()
    kind = place.split(":")[0]
    backend = _backend(settings, kind)
    precision, why = _precision(settings, backend, kind)
    return Choice(backend, precision, place, CPU_BUDGET if kind == "cpu" else _ACCELERATOR_BUDGET, why)


def best_device() -> str:
    """An accelerator where there is one."""
    torch: Any = require("torch", extra="models")
    return str(torch.accelerator.current_accelerator(check_available=True) or "cpu")


def _backend(settings: ComputeConfig, kind: str) -> Backend:
    if settings.precision == "int8" and (settings.backend == "torch" or kind != "cpu"):
        raise ConfigError(
            f'precision = "int8" runs on OpenVINO on a processor, got backend = "{settings.backend}" on '
            f'{kind}: leave the backend "auto" and the device "cpu", or ask for another precision'
        )
    if settings.backend == "openvino" and kind != "cpu":
        raise ConfigError(f'backend = "openvino" runs on "cpu", got the device {kind}: leave one of them out')
    if settings.backend == "openvino" or settings.precision == "int8":
        if not find_spec("openvino"):
            raise MissingExtra("openvino is not installed: pip install 'rag-plugins[openvino]'")
        return "openvino"
    if settings.backend == "auto" and kind == "cpu" and find_spec("openvino"):
        return "openvino"
    return "torch"


def _precision(settings: ComputeConfig, backend: Backend, kind: str) -> tuple[Precision, str]:
    has_bf16, fact = _cuda() if kind == "cuda" else _cpu() if kind == "cpu" else (False, f"{kind} was found")
    if settings.precision == "bf16" and not has_bf16:
        raise ConfigError(f'precision = "bf16": {fact}. Leave the precision "auto", or take "fp32"')
    if settings.precision != "auto":
        return settings.precision, f"{settings.precision} was asked for"
    if kind == "cpu" and backend == "torch":
        missing = "torch was asked for" if settings.backend == "torch" else "OpenVINO is not installed"
        return "fp32", f"{missing}, and fp32 loses nothing"
    return ("bf16" if has_bf16 else "fp32"), fact


def _cpu() -> tuple[bool, str]:
    """Whether the processor has bf16, and that in words."""
    found = sorted(BF16 & processor())
    if found:
        return True, f"the processor has bf16 ({', '.join(found)})"
    return False, f"the processor lists no bf16 (none of {', '.join(sorted(BF16))})"


def _cuda() -> tuple[bool, str]:
    torch: Any = require("torch", extra="models")
    if not torch.cuda.is_available():
        raise ConfigError('device = "cuda": torch finds no such card. Leave the device out, or take "cpu"')
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return True, "the card has bf16"
    return False, "the card has no bf16"


@cache
def processor() -> frozenset[str]:
    """Names of what the processor can do; where no /proc/cpuinfo lists it, as far as torch knows."""
    if listed := _listed():
        return frozenset(listed.get("flags", listed.get("Features", "")).split())
    torch: Any = require("torch", extra="models")
    known: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()  # From torch 2.12 on.
    return frozenset(name for name, has in known.items() if has is True)


def processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cores() -> int:
    """`processors`, but two threads of one core count once, where Linux says so."""
    listed = _listed()
    return max(processors() * int(listed.get("cpu cores", 1)) // int(listed.get("siblings", 1)), 1)


def _listed() -> dict[str, str]:
    """What /proc/cpuinfo says of the first processor; nothing where there is no such file."""
    try:
        first = _CPUINFO.read_text(encoding="utf-8").split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
