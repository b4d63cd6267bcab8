"""Models that bring code of their own: classes of transformers instead where it has some, else by permission.

Nothing that came with a model runs without `allow_remote_code`, and then only at the commit that was named,
taken from the hub by that commit, or from a folder whose code has that digest.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag_plugins.errors import ConfigError, ModelNotFound, require
from rag_plugins.models.backend import first_line
from rag_plugins.models.facts import Code

__all__ = ["Loadable", "Permission", "linked", "loadable", "restore_buffers"]

_HERE = ""
"""The repository of code that lies in the model's own folder."""


@dataclass(frozen=True, slots=True)
class Permission:
    """Whether a model's own code may run, and at which commit: as the leg says, else as its preset has it."""

    allowed: bool = False
    commit: str | None = None
    preset: Code | None = None

    def commit_of(self, repository: str) -> str | None:
        """The commit that may run of a repository."""
        if self.commit is None and self.preset and self.preset.repository == repository:
            return self.preset.commit
        return self.commit


@dataclass(frozen=True, slots=True)
class Loadable:
    """A folder to load a model from; `code` says which code of its own is to run, None: none."""

    path: Path
    code: str | None = None


@contextmanager
def loadable(path: Path, permission: Permission) -> Generator[Loadable]:
    """The folder as it can be loaded. Raises `ConfigError` where it needs code that may not run."""
    config = _json(path / "config.json")
    native, code = _native(config), _code_of(path, config)
    if not code or (native is not None and not _own_modules(path)):
        if native in (None, config):
            yield Loadable(path)
            return
        with _rewritten(path, native, None) as folder:
            yield Loadable(folder)
        return
    source, name = _permitted(path, code, permission)
    with _rewritten(path, _localised(config), source) as folder:
        yield Loadable(folder, name)


def _native(config: dict[str, Any]) -> dict[str, Any] | None:
    """The configuration as a class of transformers reads it with these weights; None where there is none."""
    classes: Any = require("transformers.models.auto.configuration_auto", extra="models").CONFIG_MAPPING
    kind = config.get("model_type")
    # transformers would load a mixture of experts of this type without its experts.
    if kind in classes and not (kind == "nomic_bert" and config.get("num_experts")):
        return config
    return _gte(config) if kind == "new" and "gte" in classes else None


def _gte(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """A model of the GTE authors (Alibaba-NLP/new-impl), whose weights transformers reads as "gte".

    Their NTK scaling by f multiplies the base of the rotary frequencies by f and divides each of them by
    f ** (2 / width of a head): what transformers calls linear scaling.
    """
    scaling = config.get("rope_scaling") or {"type": "ntk", "factor": 1.0}
    plain = (
        config.get("position_embedding_type") == "rope"
        and config.get("layer_norm_type") == "layer_norm"
        and not config.get("logn_attention_scale")
        and scaling.get("type") == "ntk"
        and scaling.get("mixed_b") is None
    )
    if not plain:
        return None
    factor, width = scaling["factor"], config["hidden_size"] // config["num_attention_heads"]
    rotary = {"rope_theta": config["rope_theta"] * factor, "factor": factor ** (2 / width)}
    left_out = ("auto_map", "rope_theta", "rope_scaling")
    kept = {key: value for key, value in config.items() if key not in left_out}
    return kept | {"model_type": "gte", "rope_parameters": rotary | {"rope_type": "linear"}}


def _code_of(path: Path, config: Mapping[str, Any]) -> set[str]:
    """The repositories of a model's own code."""
    classes = [name for key, name in config.get("auto_map", {}).items() if key in ("AutoConfig", "AutoModel")]
    return {_repository(name) for name in [*classes, *_own_modules(path)]}


def _own_modules(path: Path) -> list[str]:
    modules = _json(path / "modules.json") or []
    types = [str(module.get("type")) for module in modules]
    return [name for name in types if not name.startswith("sentence_transformers.")]


def _repository(reference: str) -> str:
    return reference.split("--")[0] if "--" in reference else _HERE


def _permitted(path: Path, code: set[str], permission: Permission) -> tuple[Path, str]:
    """Where the code lies, and its name for messages."""
    if len(code) > 1:
        raise ConfigError(f"{path}: its own code comes from {sorted(code)}; code of one place can be run")
    [repository] = code
    where, given = repository or "in its folder", permission.commit_of(repository)
    wanted = given if repository else _digest(path)
    if not permission.allowed or wanted is None or given != wanted:
        revision = f'code_revision = "{wanted or "the commit that you have read"}"'
        raise ConfigError(
            f"{path}: this model needs code of its own ({where}), which runs by permission and at one commit "
            f"alone: read it, then set allow_remote_code = true and {revision} for the leg; got "
            f"allow_remote_code = {str(permission.allowed).lower()}, code_revision = {permission.commit}"
        )
    return _find_code(repository, wanted) if repository else path, f"{where}, {wanted}"


def _find_code(repository: str, commit: str) -> Path:
    """The folder of a model's own code at a commit, from the cache or the hub. Raises `ModelNotFound`."""
    hub = require("huggingface_hub", extra="models")
    tried: list[str] = []
    for offline in (True, False):
        try:
            return Path(
                hub.snapshot_download(
                    repository, revision=commit, local_files_only=offline, allow_patterns=["*.py"]
                )
            )
        except (OSError, ValueError) as error:
            tried.append(first_line(error))
    raise ModelNotFound(
        f"no code of {repository} at commit {commit}. Looked in the Hugging Face cache ({tried[0]}) and on "
        f"the hub ({tried[1]}). Run once with network, and check the commit"
    )


def _digest(path: Path) -> str:
    """40 hex digits of the code in a folder: of its Python files, their names and what they say."""
    sha = hashlib.sha256()
    for file in sorted(path.rglob("*.py")):
        content = file.read_bytes()
        sha.update(f"{file.relative_to(path).as_posix()} {len(content)}\n".encode() + content)
    return sha.hexdigest()[:40]


def _localised(config: dict[str, Any]) -> dict[str, Any]:
    """With code looked for in the folder itself."""
    names = config.get("auto_map", {})
    local = {key: str(name).split("--")[-1] for key, name in names.items() if not isinstance(name, list)}
    return config | {"auto_map": local} if local else config


@contextmanager
def _rewritten(path: Path, config: dict[str, Any] | None, code: Path | None) -> Generator[Path]:
    """A folder with the same files but for the configuration, and with code, in place of any it has."""
    with tempfile.TemporaryDirectory() as temporary:
        # What transformers imports is kept under the folder's name, so that is always the same one.
        folder = Path(temporary) / f"rag_plugins_{_digest(code)[:16] if code else 'model'}"
        folder.mkdir()
        for item in path.iterdir():
            if item.suffix != ".py":
                linked(item.resolve(), folder / item.name)
        (folder / "config.json").unlink(missing_ok=True)
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        for file in code.glob("*.py") if code else ():
            shutil.copyfile(file, folder / file.name)
        yield folder


def linked(item: Path, target: Path) -> None:
    """A file or folder under another name too."""
    try:
        target.symlink_to(item, target_is_directory=item.is_dir())
    except OSError:  # Windows allows links to those who may make them.
        (shutil.copytree if item.is_dir() else shutil.copyfile)(item, target)


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file}: {error}") from error


def restore_buffers(model: Any) -> None:
    """Give a model that its own code built the buffers that are not saved with its weights.

    transformers fills them with whatever is in memory, for its own classes alone with what belongs there.
    """
    fresh = dict(type(model)(model.config).named_buffers())
    saved = model.state_dict().keys()
    for name, buffer in model.named_buffers():
        if name not in saved:
            buffer.copy_(fresh[name])
