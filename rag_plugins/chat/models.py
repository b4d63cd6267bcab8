"""Language models by configuration: which class of which package, in either framework."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from rag_plugins.chat.messages import Talk
from rag_plugins.config.chat import LlmConfig
from rag_plugins.errors import ConfigError, MissingExtra

__all__ = ["Framework", "make_talk"]

Framework: TypeAlias = Literal["langchain", "llama-index"]

_LOCAL = "http://127.0.0.1:8080/v1"
"""Where llama.cpp's own server listens, which speaks OpenAI's protocol and asks for no key."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """A class, what our settings are called there, and what it has to be told besides."""

    package: str
    module: str
    name: str
    called: Mapping[str, str] = field(default_factory=dict[str, str])
    told: Mapping[str, Any] = field(default_factory=dict[str, Any])


_SAME = {"model": "model", "base_url": "base_url", "temperature": "temperature", "max_tokens": "max_tokens"}
_OPENAI_CHAIN = ("langchain-openai", "langchain_openai", "ChatOpenAI", _SAME)
_OPENAI_LLAMA = (
    "llama-index-llms-openai-like",
    "llama_index.llms.openai_like",
    "OpenAILike",
    {**_SAME, "base_url": "api_base"},
)

_KINDS: Mapping[tuple[Framework, str], _Kind] = {
    ("langchain", "openai"): _Kind(*_OPENAI_CHAIN),
    ("langchain", "llama.cpp"): _Kind(*_OPENAI_CHAIN, {"base_url": _LOCAL, "api_key": "none"}),
    ("langchain", "ollama"): _Kind(
        "langchain-ollama", "langchain_ollama", "ChatOllama", {**_SAME, "max_tokens": "num_predict"}
    ),
    ("langchain", "anthropic"): _Kind("langchain-anthropic", "langchain_anthropic", "ChatAnthropic", _SAME),
    ("llama-index", "openai"): _Kind(*_OPENAI_LLAMA, {"is_chat_model": True}),
    ("llama-index", "llama.cpp"): _Kind(
        *_OPENAI_LLAMA, {"is_chat_model": True, "api_base": _LOCAL, "api_key": "none"}
    ),
    ("llama-index", "ollama"): _Kind(
        "llama-index-llms-ollama",
        "llama_index.llms.ollama",
        "Ollama",
        {"model": "model", "base_url": "base_url", "temperature": "temperature"},
    ),
    ("llama-index", "anthropic"): _Kind(
        "llama-index-llms-anthropic", "llama_index.llms.anthropic", "Anthropic", _SAME
    ),
}


def make_talk(config: LlmConfig, framework: Framework) -> Talk:
    """The model of a configuration, ready to talk. Raises `ConfigError`, `MissingExtra` with the package."""
    face = importlib.import_module(f"rag_plugins.{framework.replace('-', '_')}")
    make: Callable[[Any], Talk] = face.talk
    if config.class_name is not None:
        module, _, name = config.class_name.rpartition(".")
        return make(_made(module.split(".")[0], module, name, config.arguments))
    kind = _KINDS[framework, str(config.provider)]
    given = {name: getattr(config, ours) for ours, name in kind.called.items()}
    settings = {**kind.told, **{name: value for name, value in given.items() if value is not None}}
    return make(_made(kind.package, kind.module, kind.name, settings))


def _made(package: str, module: str, name: str, settings: Mapping[str, Any]) -> Any:
    try:
        kind = getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise MissingExtra(f"chat.llm needs {module}: pip install {package}") from error
    except AttributeError as error:
        raise ConfigError(f"chat.llm: {module} has no {name}") from error
    try:
        return kind(**settings)
    except Exception as error:
        # Its message may repeat what it was given, and the environment's keys.
        raise ConfigError(f"chat.llm: {name} refuses its settings ({type(error).__name__})") from None
