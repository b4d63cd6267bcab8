"""Hits on pages that are made by hand."""

from rag_plugins.types import Box, EmbedText, Hit, Passage, Provenance, Word


def words(text, confidences=()):
    """A word for each run without spaces, all on the line of its new line, 0.01 wide a character."""
    found, at = [], 0
    for number, line in enumerate(text.split("\n")):
        start = at
        for word in line.split(" "):
            if word:
                left = (start - at) / 100
                box = Box(left, number / 10, left + len(word) / 100, number / 10 + 0.05)
                found.append(Word(start, start + len(word), number, box, dict(confidences).get(word)))
            start += len(word) + 1
        at += len(line) + 1
    return tuple(found)


def page(text, *spans, source="scan.pdf", number=1, confidences=(), doc_id=None):
    """Passages of one page, by their spans in its text, as ingestion makes them."""
    every = words(text, confidences)
    return [
        passage(
            text[start:end],
            *(
                Word(max(w.start, start) - start, min(w.end, end) - start, w.line, w.box, w.confidence)
                for w in every
                if w.start < end and w.end > start
            ),
            source=source,
            number=number,
            start=start,
            doc_id=doc_id,
        )
        for start, end in spans
    ]


def passage(text, *words, source="scan.pdf", number=1, start=None, doc_id=None, id=None):
    doc_id = doc_id or source
    id = id or f"{doc_id}:{number}:{start}:{text}"
    origin = Provenance(source, number, tuple(words), page_image="b" * 64, start=start)
    return Passage(id, doc_id, (EmbedText(f"view of {text}"),), text, {"page": number}, origin)


def hits(*passages):
    return [Hit(passage, 1.0 / rank) for rank, passage in enumerate(passages, 1)]


def bodies(context):
    return [context.text[block.start : block.end] for block in context.blocks]
