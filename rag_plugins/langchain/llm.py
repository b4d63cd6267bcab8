"""LangChain's language models as expanders of questions, and in the chat."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import Runnable, RunnableLambda, RunnableParallel, RunnablePassthrough

from rag_plugins.errors import ConfigError
from rag_plugins.faces.expansion import PROMPT, Wish
from rag_plugins.faces.talking import Message
from rag_plugins.faces.unshown import Unshown

__all__ = ["expander", "talk"]


def expander(llm: Runnable[Any, Any], prompt: str = PROMPT, n: int = 3) -> Runnable[str, list[str]]:
    """From a question at most `n` other wordings or parts of it, which an LLM writes: for `expand=`.

    `prompt` has {question} and may have {n}. Sync, async, and with the callbacks of the search. Raises
    `ConfigError` for a prompt without {question}.
    """
    wish = Wish(prompt, n)

    def asked(question: str) -> str:
        return wish.asked(question)

    def read(given: dict[str, str]) -> list[str]:
        return wish.read(given["answer"], given["question"])

    answer = RunnableLambda(asked) | llm | StrOutputParser()
    both = RunnableParallel(question=RunnablePassthrough[str](), answer=answer)
    return (both | RunnableLambda(read)).with_config(run_name="expander")


def talk(model: BaseChatModel) -> Callable[[Sequence[Message]], Iterator[str]]:
    """A chat model as what the chat takes: messages to the pieces of the next one, as they come.

    Raises `ConfigError` for what is none.
    """
    if not isinstance(model, BaseChatModel):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigError(f"got {type(model).__name__}, expected a chat model of LangChain's (BaseChatModel)")

    hidden = Unshown(model)

    def pieces(messages: Sequence[Message]) -> Iterator[str]:
        for chunk in hidden.it.stream([(message.role, message.text) for message in messages]):
            if text := str(chunk.text):
                yield text

    return pieces
