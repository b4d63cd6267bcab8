"""Who answers, from how much, and when nothing is an answer."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from rag_plugins.config.frozen import Frozen

__all__ = ["ChatConfig", "LlmConfig"]

_KEY = re.compile(r"(^|_)(key|token|secret|password)$", re.IGNORECASE)


class LlmConfig(Frozen):
    """A language model. Keys come from the environment, under the name that each provider documents.

    Either a `provider`, or the full name of a chat model's class of the framework, with its `arguments`:
    these are all that it is told.
    """

    provider: Literal["openai", "ollama", "llama.cpp", "anthropic"] | None = None
    model: str = ""
    base_url: Annotated[
        str | None, Field(description="of a server; openai is any that speaks OpenAI's protocol")
    ] = None
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    max_tokens: Annotated[int, Field(ge=1, description="of an answer")] = 1024
    timeout: Annotated[
        float, Field(gt=0, allow_inf_nan=False, description="seconds for the first words, and the next ones")
    ] = 60.0
    class_name: Annotated[
        str | None, Field(alias="class", pattern=r"^\w+(\.\w+)+$", description="such as package.ChatModel")
    ] = None
    arguments: Annotated[dict[str, Any], Field(description="of that class; never a key")] = {}

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.provider is None) == (self.class_name is None):
            raise ValueError("expected a provider, or a class with its arguments: one of both")
        if keys := [name for name in self.arguments if _KEY.search(name)]:
            raise ValueError(f"{keys} in arguments: keys come from the environment, as each class documents")
        if self.class_name is None and self.arguments:
            raise ValueError("arguments are those of a class; a provider has settings of its own")
        return self


class ChatConfig(Frozen):
    """How questions are answered. Without an `llm` the best sentences are quoted."""

    llm: LlmConfig | None = None
    k: Annotated[int, Field(ge=1, le=50, description="passages that are found")] = 6
    budget: Annotated[int, Field(ge=200, description="tokens of the passages that the model reads")] = 3000
    least_evidence: Annotated[
        float, Field(ge=0, description="nats that speak for the best passage; with less nothing is relevant")
    ] = 12.0
    upload_megabytes: Annotated[int, Field(ge=1, description="that one request may have")] = 100
    title: str = ""
    examples: Annotated[tuple[str, ...], Field(description="questions to begin with")] = ()
