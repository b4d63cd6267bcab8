"""What the page is sent: events of an answer as JSON, without a path of the machine."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from rag_plugins.chat.messages import End, Event, Evidence
from rag_plugins.chat.serving.names import without_paths
from rag_plugins.chat.sources import Source
from rag_plugins.evidence import StageRow
from rag_plugins.text import file_name
from rag_plugins.types import Box

__all__ = ["failed", "sent"]

_DOUBT = re.compile(r"\[\?(.*?)\?\]", re.DOTALL)


def sent(event: Event) -> bytes:
    """An event of an answer as a server-sent event."""
    if isinstance(event, Evidence):
        sources = [_source(source) for source in event.sources]
        notices = [without_paths(notice) for notice in event.notices]
        return _event("evidence", question=event.question, sources=sources, notices=notices)
    if isinstance(event, End):
        return _event("end", kind=event.kind, note=event.note)
    return _event("text", piece=event.text)


def failed(message: str) -> bytes:
    """An error in place of the rest of an answer."""
    return _event("error", message=message)


def _event(event: str, **data: Any) -> bytes:
    return f"event: {event}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


def _source(source: Source) -> dict[str, Any]:
    return {
        "number": source.number,
        "name": file_name(source.name),
        "origin": source.origin,
        "image": source.image and f"api/image/{source.image}",
        "boxes": [_box(box) for box in source.boxes],
        "lines": [{"text": line.text, "box": _box(line.box)} for line in source.lines],
        "text": [*_runs(source.text)],
        "hits": [
            {"score": _figure(hit.score), "trace": [_stage(stage) for stage in hit.trace]}
            for hit in source.hits
        ],
    }


def _runs(text: str) -> Iterator[list[Any]]:
    """The text as the model reads it, cut at the words that are marked as doubtful."""
    done = 0
    for match in _DOUBT.finditer(text):
        yield [text[done : match.start()], False]
        yield [match.group(), True]
        done = match.end()
    yield [text[done:], False]


def _stage(stage: StageRow) -> dict[str, Any]:
    score = None if stage.score is None else _figure(stage.score)
    return {
        "name": stage.name,
        "kind": stage.kind,
        "rank": stage.rank,
        "score": score,
        "shares": [list(share) for share in stage.shares],
        "remark": stage.remark,
        "why": stage.why,
    }


def _box(box: Box) -> list[float]:
    return [round(side, 4) for side in (box.left, box.top, box.right, box.bottom)]


def _figure(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
