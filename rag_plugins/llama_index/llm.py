"""LlamaIndex' language models as expanders of questions."""

from __future__ import annotations

from collections.abc import Callable

from llama_index.core.base.llms.base import BaseLLM

from rag_plugins.faces.expansion import PROMPT, Wish
from rag_plugins.llama_index.foreign import from_llama_index

__all__ = ["expander"]


def expander(llm: BaseLLM, prompt: str = PROMPT, n: int = 3) -> Callable[[str], list[str]]:
    """From a question at most `n` other wordings or parts of it, which an LLM writes: for `expand=`.

    `prompt` has {question} and may have {n}. Raises `ConfigError` for a prompt without {question}.
    """
    wish, answer = Wish(prompt, n), from_llama_index(llm)
    return lambda question: wish.read(answer(wish.asked(question)), question)
