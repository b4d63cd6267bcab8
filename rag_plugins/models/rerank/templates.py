"""Query and passage inside a template: a published recipe's, or the chat template of a folder."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from os.path import commonprefix
from typing import Any

from rag_plugins.errors import ConfigError
from rag_plugins.models.rerank.pairs import Pair

__all__ = ["chat_pairs", "reads_messages", "template_pairs"]

_INSTRUCTION_LINE = re.compile(r"[^\n]*\{instruction\}[^\n]*\n?")
_PLACEHOLDER = re.compile(r"\{(query|instruction)\}")
_DOCUMENT = "{document}"
_NOT_FOR_TEMPLATES = ("padding", "truncation", "max_length", "return_tensors", "restore_suffix")
"""What sentence-transformers keeps beside the arguments of a chat template."""


def template_pairs(
    tokenizer: Any, segments: Sequence[str], query: str, passages: Sequence[str], instruction: str | None
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
        Pair(before + pair.before, pair.passage, pair.after + after)
        for pair in _split(tokenizer, texts, spans)
    ]


def reads_messages(model: Any) -> bool:
    """Whether a CrossEncoder of sentence-transformers renders pairs with a chat template."""
    return "message" in model[0].modality_config


def chat_pairs(model: Any, query: str, passages: Sequence[str], instruction: str | None) -> list[Pair]:
    """As a CrossEncoder with a chat template renders pairs: a message for the query, one for the passage.

    The instruction is the system's message; without one, it is the model's own prompt. Raises
    `ConfigError` where the chat template shows no such messages.
    """
    transformer: Any = model[0]
    prompt = instruction or model.prompts.get(model.default_prompt_name)
    settings = _template_settings(transformer)
    if failure := transformer.input_formatter.pair_roles_failure(settings):
        raise ConfigError(f"its chat template shows no pair of query and document: {failure}")

    def rendered(passage: str) -> str:
        messages = _messages(transformer.input_formatter, query, passage, prompt)
        return transformer.processor.apply_chat_template(messages, tokenize=False, **settings)

    mark = "\ue000"
    while mark in query:
        mark += mark
    left, _, right = rendered(mark).rpartition(mark)
    texts = [rendered(passage) for passage in passages]
    return list(_split(transformer.tokenizer, texts, [_between(text, left, right) for text in texts]))


def _filled(segment: str, values: Mapping[str, str]) -> str:
    """In one go, so that a query that has a placeholder in it stays as it is."""
    if not values["instruction"]:
        segment = _INSTRUCTION_LINE.sub("", segment)
    return _PLACEHOLDER.sub(lambda found: values[found[1]], segment)


def _tokens(tokenizer: Any, texts: Sequence[str]) -> list[int]:
    return [
        token
        for text in texts
        for token in tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    ]


def _split(tokenizer: Any, texts: Sequence[str], spans: Sequence[tuple[int, int]]) -> Iterator[Pair]:
    """Texts tokenised as a whole, split where the passage begins and ends, in characters.

    A token over its beginning is the passage's, one over its end is not, since what follows is never cut.
    """
    if not texts:
        return
    encoded = tokenizer(
        list(texts), add_special_tokens=False, return_offsets_mapping=True, truncation=False, verbose=False
    )
    for ids, offsets, span in zip(encoded["input_ids"], encoded["offset_mapping"], spans, strict=True):
        first, last = (_first_beyond(offsets, place) for place in span)
        yield Pair(ids[:first], ids[first:last], ids[last:])


def _first_beyond(offsets: Sequence[tuple[int, int]], place: int) -> int:
    """The first token that ends after a place."""
    return next((n for n, (_, end) in enumerate(offsets) if end > place), len(offsets))


def _template_settings(transformer: Any) -> dict[str, Any]:
    given = transformer.processing_kwargs.get("chat_template", {})
    return {key: value for key, value in given.items() if key not in _NOT_FOR_TEMPLATES}


def _messages(formatter: Any, query: str, passage: str, prompt: str | None) -> list[dict[str, Any]]:
    """Written here, as text: sentence-transformers would open a passage that is a path or an address."""
    texts = {"query": query, "document": passage}
    flat = formatter.message_format == "flat"
    messages: list[dict[str, Any]] = [
        {"role": role, "content": text if flat else [{"type": "text", "text": text}]}
        for role, text in texts.items()
    ]
    return formatter.prepend_prompt_to_messages([messages], prompt)[0] if prompt else messages


def _between(text: str, left: str, right: str) -> tuple[int, int]:
    """Where in a rendered text the passage is: a template may strip it or show something in its place."""
    start = len(commonprefix([text, left]))
    return start, len(text) - len(commonprefix([text[start:][::-1], right[::-1]]))
