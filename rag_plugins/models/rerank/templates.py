"""Query and passage inside a template: a published recipe's, or the chat template of a folder."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from os.path import commonprefix
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rag_plugins.errors import ConfigError
from rag_plugins.models.rerank.pairs import Pair
from rag_plugins.models.tokenizer import SafeTokenizer

__all__ = ["chat_pairs", "reads_messages", "template_pairs"]

_INSTRUCTION_LINE = re.compile(r"[^\n]*\{instruction\}[^\n]*\n?")
_PLACEHOLDER = re.compile(r"\{(query|instruction)\}")
_DOCUMENT = "{document}"
_NOT_FOR_TEMPLATES = ("padding", "truncation", "max_length", "return_tensors", "restore_suffix")
"""What sentence-transformers keeps beside the arguments of a chat template."""

_AT_ONCE = 64
"""Texts a call of the tokenizer: what it makes of them besides ids takes 20 times the memory."""

_Parts: TypeAlias = tuple[list[int], NDArray[np.int32], list[int]]


def template_pairs(
    tokenizer: SafeTokenizer,
    segments: Sequence[str],
    query: str,
    passages: Sequence[str],
    instruction: str | None,
) -> list[Pair]:
    """Each segment is tokenised on its own, without markers; exactly one of them has {document}.

    A line that has {instruction} is left out where there is none.
    """
    values = {"query": query, "instruction": instruction or ""}
    [at] = [n for n, segment in enumerate(segments) if _DOCUMENT in segment]
    left, right = (_filled(part, values) for part in segments[at].split(_DOCUMENT))
    texts = [left + passage + right for passage in passages]
    spans = [(len(left), len(text) - len(right)) for text in texts]
    before = _tokens(tokenizer, [_filled(segment, values) for segment in segments[:at]])
    after = _tokens(tokenizer, [_filled(segment, values) for segment in segments[at + 1 :]])
    return [
        Pair(before + start, passage, end + after) for start, passage, end in _split(tokenizer, texts, spans)
    ]


def reads_messages(model: Any) -> bool:
    """Whether a CrossEncoder of sentence-transformers renders pairs with a chat template."""
    return "message" in model[0].modality_config


def chat_pairs(
    tokenizer: SafeTokenizer, model: Any, query: str, passages: Sequence[str], instruction: str | None
) -> list[Pair]:
    """As a CrossEncoder with a chat template renders pairs: a message for the query, one for the passage.

    The instruction is the system's message; without one, it is the model's own prompt. Raises
    `ConfigError` where the chat template does not show both.
    """
    transformer: Any = model[0]
    prompt = instruction or model.prompts.get(model.default_prompt_name)
    settings = _template_settings(transformer)
    if failure := transformer.input_formatter.pair_roles_failure(settings):
        raise ConfigError(f"its chat template cannot carry a query and a document: {failure}")

    def rendered(passage: str) -> str:
        messages = _messages(transformer.input_formatter, query, passage, prompt)
        return transformer.processor.apply_chat_template(messages, tokenize=False, **settings)

    mark = "\ue000"
    while mark in query:
        mark += mark
    left, _, right = rendered(mark).rpartition(mark)
    texts = [rendered(passage) for passage in passages]
    spans = [_between(text, left, right) for text in texts]
    return [Pair(*parts) for parts in _split(tokenizer, texts, spans)]


def _filled(segment: str, values: Mapping[str, str]) -> str:
    """In one go, so that a query that has a placeholder in it stays as it is."""
    if not values["instruction"]:
        segment = _INSTRUCTION_LINE.sub("", segment)
    return _PLACEHOLDER.sub(lambda found: values[found[1]], segment)


def _tokens(tokenizer: SafeTokenizer, texts: Sequence[str]) -> list[int]:
    encoded: Sequence[list[int]] = tokenizer(texts, add_special_tokens=False)["input_ids"]
    return [token for ids in encoded for token in ids]


def _split(
    tokenizer: SafeTokenizer, texts: Sequence[str], spans: Sequence[tuple[int, int]]
) -> Iterator[_Parts]:
    """Texts tokenised as a whole, split where the passage begins and ends, in characters.

    A token over its beginning is the passage's, one over its end is not, since what follows is never cut.
    """
    for start in range(0, len(texts), _AT_ONCE):
        encoded = tokenizer(
            texts[start : start + _AT_ONCE], add_special_tokens=False, return_offsets_mapping=True
        )
        for ids, offsets, span in zip(
            encoded["input_ids"], encoded["offset_mapping"], spans[start:], strict=False
        ):
            first, last = (_first_beyond(offsets, place) for place in span)
            yield ids[:first], np.array(ids[first:last], np.int32), ids[last:]


def _first_beyond(offsets: Sequence[tuple[int, int]], place: int) -> int:
    """The first token that ends after a place."""
    return next((n for n, (_, end) in enumerate(offsets) if end > place), len(offsets))


def _template_settings(transformer: Any) -> dict[str, Any]:
    given = transformer.processing_kwargs.get("chat_template", {})
    return {key: value for key, value in given.items() if key not in _NOT_FOR_TEMPLATES}


def _messages(formatter: Any, query: str, passage: str, prompt: str | None) -> list[dict[str, Any]]:
    """Written here, as text: sentence-transformers would open a passage that is a path or an address."""
    flat = formatter.message_format == "flat"
    messages: list[dict[str, Any]] = [
        {"role": role, "content": text if flat else [{"type": "text", "text": text}]}
        for role, text in (("query", query), ("document", passage))
    ]
    return formatter.prepend_prompt_to_messages([messages], prompt)[0] if prompt else messages


def _between(text: str, left: str, right: str) -> tuple[int, int]:
    """Where in a rendered text the passage is: a template may strip it or show something in its place."""
    start = len(commonprefix([text, left]))
    return start, len(text) - len(commonprefix([text[start:][::-1], right[::-1]]))
