"""LlamaIndex' language models as expanders of questions, and in the chat."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from llama_index.core.base.llms.base import BaseLLM
from llama_index.core.base.llms.types import ChatMessage, MessageRole

from rag_plugins.errors import ConfigError
from rag_plugins.faces.expansion import PROMPT, Wish
from rag_plugins.faces.talking import Message
from rag_plugins.faces.unshown import Unshown
from rag_plugins.llama_index.foreign import from_llama_index

__all__ = ["expander", "talk"]


def expander(llm: BaseLLM, prompt: str = PROMPT, n: int = 3) -> Callable[[str], list[str]]:
    """From a question at most `n` other wordings or parts of it, which an LLM writes: for `expand=`.

    `prompt` has {question} and may have {n}. Raises `ConfigError` for a prompt without {question}.
    """
    wish, answer = Wish(prompt, n), from_llama_index(llm)
    return lambda question: wish.read(answer(wish.asked(question)), question)


def talk(llm: BaseLLM) -> Callable[[Sequence[Message]], Iterator[str]]:
    """An LLM as what the chat takes: messages to the pieces of the next one, as they come.

    Raises `ConfigError` for what is none.
    """
    if not isinstance(llm, BaseLLM):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigError(f"got {type(llm).__name__}, expected an LLM of LlamaIndex' (BaseLLM)")

    hidden = Unshown(llm)

    def pieces(messages: Sequence[Message]) -> Iterator[str]:
        given = [ChatMessage(role=MessageRole(message.role), content=message.text) for message in messages]
        for response in hidden.it.stream_chat(given):
            if response.delta:
                yield response.delta

    return pieces
