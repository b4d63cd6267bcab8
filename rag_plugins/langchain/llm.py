"""LangChain's language models as expanders of questions."""

from __future__ import annotations

from typing import Any

from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import Runnable, RunnableLambda, RunnableParallel, RunnablePassthrough

from rag_plugins.faces.expansion import PROMPT, Wish

__all__ = ["expander"]


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
