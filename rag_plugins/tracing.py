"""Spans of OpenTelemetry in a program that records them; in any other they cost next to nothing.

What a span says is counts, names and times: no text of a query or passage, unless the environment asks for
it as OpenTelemetry's conventions for generative AI have it.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache, lru_cache
from typing import Any, Protocol, TypeAlias

__all__ = ["Attribute", "Span", "captures_content", "span"]

Attribute: TypeAlias = str | bool | int | float | Sequence[str]

_API = "opentelemetry.trace"
_CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"


class Span(Protocol):
    """What a stage may add to its span while it runs."""

    def set_attribute(self, key: str, value: Attribute) -> None:
        """Say one thing more."""
        ...


class _Unrecorded:
    """The span of nobody."""

    def set_attribute(self, key: str, value: Attribute) -> None:
        """Nobody listens."""


_UNRECORDED = nullcontext(_Unrecorded())


def span(name: str, attributes: Mapping[str, Attribute] | None = None) -> AbstractContextManager[Span]:
    """A span under the caller's current one; an error that leaves it is recorded on it."""
    # Whoever records spans has imported this; it takes 30 ms, which nobody else shall pay.
    if _API not in sys.modules:
        return _UNRECORDED
    api = _api()
    provider = api.get_tracer_provider()
    if isinstance(provider, api.ProxyTracerProvider):  # What the API has until somebody sets one.
        return _UNRECORDED
    return _recorded(_tracer(provider), name, attributes)


def captures_content() -> bool:
    """Whether the environment asks for texts in spans."""
    return os.environ.get(_CONTENT, "").lower() in ("true", "span_only", "span_and_event")


@contextmanager
def _recorded(tracer: Any, name: str, attributes: Mapping[str, Attribute] | None) -> Generator[Span]:
    with tracer.start_as_current_span(
        name, attributes=attributes, record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield current
        except BaseException as error:
            _record(current, error)
            raise


@cache
def _api() -> Any:
    """The import waits for another thread that is at it."""
    return importlib.import_module(_API)


@lru_cache(maxsize=1)
def _tracer(provider: Any) -> Any:
    return provider.get_tracer("rag_plugins")


def _record(current: Any, error: BaseException) -> None:
    """As OpenTelemetry does it, but for the message, which repeats what was given: a query, an answer."""
    kind = f"{type(error).__module__}.{type(error).__qualname__}"
    frames = "".join(traceback.format_tb(error.__traceback__))
    event = {"exception.type": kind, "exception.stacktrace": frames}
    if captures_content():
        event["exception.message"] = str(error)
    current.set_attribute("error.type", kind)
    current.add_event("exception", event)
    current.set_status(_api().StatusCode.ERROR, type(error).__name__)
