"""What a language model's client raises as one error, which says what failed and what to do.

Clients put keys and prompts into their messages: none of them is repeated, nor chained to.
"""

from __future__ import annotations

import gc
from collections.abc import Generator, Iterator, Mapping, Sequence

from rag_plugins.chat.messages import Message, Talk
from rag_plugins.errors import ModelFailed, RagPluginsError

__all__ = ["guarded"]

_BY_STATUS: Mapping[int, str] = {
    400: "refuses the request: look at chat.llm, and whether the model takes as long a prompt",
    401: "refuses the key: set {key} anew",
    403: "refuses the key: set {key} to one that may use this model",
    404: "is not there: look at model and base_url of chat.llm",
    429: "takes no more requests now, or the key's credit is used up: wait, or look at your account",
}
_BY_NAME: Mapping[str, str] = {
    "TimeoutError": "took too long: ask again, or raise chat.llm.timeout",
    "TimeoutException": "took too long: ask again, or raise chat.llm.timeout",
    "APITimeoutError": "took too long: ask again, or raise chat.llm.timeout",
    "ConnectError": "cannot be reached: look whether its server runs, and at base_url of chat.llm",
    "ConnectionError": "cannot be reached: look whether its server runs, and at base_url of chat.llm",
    "APIConnectionError": "cannot be reached: look whether its server runs, and at base_url of chat.llm",
}
"""By the names of classes: the clients' packages need not be installed."""


def guarded(talk: Talk, who: str = "the language model", key: str = "") -> Talk:
    """The same model, which raises `ModelFailed` alone, and whose stream ends when its reader stops.

    `key` is the environment variable that it reads. What says nothing at all has failed too.
    """

    def pieces(messages: Sequence[Message]) -> Generator[str, None, None]:
        begun, reason = False, ""
        stream: Iterator[str] = iter(())
        try:
            stream = talk(messages)
            for text in stream:
                begun = True
                yield text
        except GeneratorExit:
            _close(stream)
            # Streams of OpenAI's and Anthropic's clients and their iterators hold one another.
            gc.collect()
            raise
        except RagPluginsError:
            raise
        except Exception as error:
            reason = _reason(error, key or "the environment variable of its key", begun)
        if reason or not begun:
            raise ModelFailed(f"{who} {reason or 'gave no text: raise chat.llm.max_tokens, or ask again'}")

    return pieces


def _close(stream: Iterator[str]) -> None:
    if isinstance(stream, Generator):
        stream.close()


def _reason(error: BaseException, key: str, begun: bool) -> str:
    chain = [*_chain(error)]
    names = {kind.__name__ for each in chain for kind in type(each).__mro__}
    late = next((told for name, told in _BY_NAME.items() if name in names), "")
    if begun:
        cause = "took too long" if late.startswith("took") else type(error).__name__
        return f"broke off in the middle of its answer ({cause}): what came so far is not all; ask again"
    status = next((code for each in chain if isinstance(code := _status(each), int) and code >= 400), 0)
    told = _BY_STATUS.get(status, f"failed (status {status}): ask again, and look at its server's log")
    return told.format(key=key) if status else late or f"failed ({type(error).__name__}): ask again"


def _status(error: BaseException) -> object:
    return getattr(error, "status_code", None)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
