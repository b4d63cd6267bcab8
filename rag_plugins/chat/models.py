"""Language models by configuration: which class of which package, in either framework."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from rag_plugins.chat.failing import guarded
from rag_plugins.chat.messages import Talk
from rag_plugins.config.chat import LlmConfig
from rag_plugins.errors import ConfigError, MissingExtra

__all__ = ["Framework", "make_talk"]

Framework: TypeAlias = Literal["langchain", "llama-index"]

_LOCAL = "http://127.0.0.1:8080/v1"
"""Where llama.cpp's own server listens, which speaks OpenAI's protocol and asks for no key."""

_KEYS: Mapping[str, str] = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY"}
"""The environment variables that both frameworks' classes read, by provider."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """A class, what our settings are called there ("a.b" is b in the dict a), what it is told besides."""

    package: str
    module: str
    name: str
    called: Mapping[str, str]
    told: Mapping[str, Any]


_SAME = {name: name for name in ("model", "base_url", "temperature", "max_tokens", "timeout")}
# Who waits for an answer sees what failed at once, and asks again.
_ONCE = {"max_retries": 0}

_OPENAI_CHAIN = ("langchain-openai", "langchain_openai", "ChatOpenAI", _SAME)
_OPENAI_LLAMA = (
    "llama-index-llms-openai-like",
    "llama_index.llms.openai_like",
    "OpenAILike",
    {**_SAME, "base_url": "api_base"},
)
_CHATS = {**_ONCE, "is_chat_model": True}

_KINDS: Mapping[tuple[Framework, str], _Kind] = {
    ("langchain", "openai"): _Kind(*_OPENAI_CHAIN, _ONCE),
    ("langchain", "llama.cpp"): _Kind(*_OPENAI_CHAIN, {**_ONCE, "base_url": _LOCAL, "api_key": "none"}),
    ("langchain", "ollama"): _Kind(
        "langchain-ollama",
        "langchain_ollama",
        "ChatOllama",
        {**_SAME, "max_tokens": "num_predict", "timeout": "client_kwargs.timeout"},
        {},
    ),
    ("langchain", "anthropic"): _Kind(
        "langchain-anthropic", "langchain_anthropic", "ChatAnthropic", _SAME, _ONCE
    ),
    ("llama-index", "openai"): _Kind(*_OPENAI_LLAMA, _CHATS),
    ("llama-index", "llama.cpp"): _Kind(*_OPENAI_LLAMA, {**_CHATS, "api_base": _LOCAL, "api_key": "none"}),
    ("llama-index", "ollama"): _Kind(
        "llama-index-llms-ollama",
        "llama_index.llms.ollama",
        "Ollama",
        {**_SAME, "max_tokens": "additional_kwargs.num_predict", "timeout": "request_timeout"},
        {},
    ),
    ("llama-index", "anthropic"): _Kind(
        "llama-index-llms-anthropic", "llama_index.llms.anthropic", "Anthropic", _SAME, _ONCE
    ),
}


def make_talk(config: LlmConfig, framework: Framework) -> Talk:
    """The model of a configuration, ready to talk; talking raises `ModelFailed`.

    Raises `ConfigError`, and `MissingExtra` that names the package.
    """
    if framework not in get_args(Framework):
        raise ConfigError(f"framework {framework}: expected one of {', '.join(get_args(Framework))}")
    face = importlib.import_module(f"rag_plugins.{framework.replace('-', '_')}")
    make: Callable[[Any], Talk] = face.talk
    if config.class_name is not None:
        module, _, name = config.class_name.rpartition(".")
        package = module.split(".")[0].replace("_", "-")
        return guarded(make(_made(package, module, name, config.arguments)), config.class_name)
    provider = str(config.provider)
    key = _KEYS.get(provider, "")
    if key and not os.environ.get(key, "").strip():
        raise ConfigError(
            f"chat.llm: {provider} takes its key from the environment, and {key} is not set there "
            "(for a server that asks for none, any text will do)"
        )
    kind = _KINDS[framework, provider]
    model = _made(kind.package, kind.module, kind.name, _settings(config, kind))
    where = f" at {config.base_url}" if config.base_url else ""
    return guarded(make(model), f"{provider}'s model {config.model}{where}", key)


def _settings(config: LlmConfig, kind: _Kind) -> dict[str, Any]:
    settings = dict(kind.told)
    for ours, theirs in kind.called.items():
        value, (name, _, part) = getattr(config, ours), theirs.partition(".")
        if value is not None:
            settings[name] = {part: value} if part else value
    return settings


def _made(package: str, module: str, name: str, settings: Mapping[str, Any]) -> Any:
    try:
        kind = getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise MissingExtra(f"chat.llm needs {module}: pip install {package}") from error
    except AttributeError as error:
        raise ConfigError(f"chat.llm: {module} has no {name}: see class in its documentation") from error
    refusal = ""
    try:
        return kind(**settings)
    except Exception as error:
        # Its message may repeat what it was given, and the environment's keys.
        refusal = type(error).__name__
    raise ConfigError(
        f"chat.llm: {name} refuses its settings {', '.join(settings) or '(none)'} ({refusal}): "
        "see its documentation, also for the environment variable of its key"
    )
