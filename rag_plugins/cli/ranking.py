"""Commands that use a cross-encoder alone: rank texts by a question, score pairs of texts."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

import typer

from rag_plugins.cli.options import AsJson, print_json

if TYPE_CHECKING:
    from rag_plugins.config import CrossEncoderConfig
    from rag_plugins.types import StageScore

__all__ = ["rank", "score"]

T = TypeVar("T")

Model = Annotated[
    str | None,
    typer.Option(metavar="MODEL", help="A reranker that `rag-plugins presets` lists, a folder or a hub id."),
]
MaxLength = Annotated[int | None, typer.Option(min=1, help="Tokens that are read at once, both texts.")]


def rank(
    question: Annotated[str, typer.Argument(help="In your own words.")],
    texts: Annotated[list[str] | None, typer.Argument(help="What is to be ranked.")] = None,
    file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help='More texts: one a line, or JSON lines with "text"; - is stdin.'),
    ] = None,
    model: Model = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many texts.")] = 10,
    long: Annotated[
        str,
        typer.Option(metavar="cut|windows", help="Of a text too long: its beginning, or the best window."),
    ] = "cut",
    max_length: MaxLength = None,
    as_json: AsJson = False,
) -> None:
    """Rank texts by how well they answer a question: a cross-encoder alone, without a collection."""
    from rag_plugins.faces.reranking import judged
    from rag_plugins.models.protocols import Candidate
    from rag_plugins.models.rerank.cross_encoder import CrossEncoderReranker
    from rag_plugins.types import EmbedText

    given = [*(texts or ()), *(_read(file, _text, "{") if file else ())]
    if not given:
        raise typer.BadParameter("give texts, or a --file of them")
    config = _config(model, long, max_length)
    reranker = CrossEncoderReranker(config)
    scores = reranker.score(question, [Candidate((EmbedText(text),)) for text in given])
    best = judged(reranker, config, scores)[:k]
    _show_ranking(f"{reranker.name}: {len(given)} texts", given, best, scores.notices)
    if as_json:
        hits = [_hit_json(given[position], position, stage) for position, stage in best]
        print_json({"hits": cast("Any", hits), "notices": list(scores.notices)})


def score(
    file: Annotated[
        Path, typer.Argument(help="A pair a line: two texts and a tab between, or JSON [a, b]; - is stdin.")
    ],
    model: Model = None,
    max_length: MaxLength = None,
    as_json: AsJson = False,
) -> None:
    """Score pairs of texts in the order they come: how alike two sentences are, say, by a model of that."""
    from rag_plugins.models.rerank.cross_encoder import CrossEncoderReranker

    pairs = _read(file, _pair, "[")
    if not pairs:
        raise typer.BadParameter(f"{file} has no pairs")
    reranker = CrossEncoderReranker(_config(model, "cut", max_length))
    scores: list[float] = reranker.score_pairs(pairs).tolist()
    _show_pairs(f"{reranker.name}: {len(pairs)} pairs", pairs, scores)
    if as_json:
        print_json({"scores": cast("Any", scores)})


def _config(model: str | None, long: str, max_length: int | None) -> CrossEncoderConfig:
    from rag_plugins.config import Config

    named = {"model": model} if model else {}
    stage = {"kind": "cross-encoder", "long": long, "max_length": max_length, **named}
    return cast("CrossEncoderConfig", Config.make({"rerank": [stage]}).rerank[0])


def _read(file: Path, item: Callable[[object], T], opening: str) -> list[T]:
    """The items of lines that are not blank: of JSON in *.jsonl, and where the first line is some."""
    from rag_plugins.errors import BadDocument

    lines = list(_lines(file))
    as_json = file.suffix == ".jsonl" or any(_is_json(line, opening) for _, line in lines[:1])
    items: list[T] = []
    for number, line in lines:
        try:
            items.append(item(json.loads(line) if as_json else line))
        except ValueError as error:
            raise BadDocument(str(file), None, f"line {number}: {error}") from error
    return items


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    from rag_plugins.errors import BadDocument

    try:
        content = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        text = content.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadDocument(str(file), None, f"cannot be read: {error}") from error
    # Not splitlines(): texts may hold what that takes for the end of a line.
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, line.rstrip("\r")


def _is_json(line: str, opening: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return line.startswith(opening)


def _text(line: object) -> str:
    text: object = cast("Any", line).get("text") if isinstance(line, dict) else line
    if not isinstance(text, str):
        raise ValueError('expected a text, or an object of JSON with "text"')
    return text


def _pair(line: object) -> tuple[str, str]:
    parts: Any = line.split("\t") if isinstance(line, str) else line
    match parts:
        case [str(first), str(second)]:
            return first, second
        case _:
            raise ValueError("expected two texts: with one tab between, or as JSON [a, b]")


def _show_ranking(
    title: str, texts: Sequence[str], best: Sequence[tuple[int, StageScore]], notices: Sequence[str]
) -> None:
    from rich.console import Console
    from rich.text import Text

    from rag_plugins.evidence import remark
    from rag_plugins.show.tables import listing

    table = listing(title, "", "score", "text", "", wrapped=2)
    for position, stage in best:
        table.add_row(
            str(stage.rank), f"{stage.score:.3f}", Text(_short(texts[position])), Text(remark(stage))
        )
    console = Console()
    console.print(table)
    for notice in notices:
        console.print(Text(notice, style="yellow"), soft_wrap=True)


def _show_pairs(title: str, pairs: Sequence[tuple[str, str]], scores: Sequence[float]) -> None:
    from rich.console import Console
    from rich.text import Text

    from rag_plugins.show.tables import listing

    table = listing(title, "score", "", "")
    for (first, second), value in zip(pairs, scores, strict=True):
        table.add_row(f"{value:.3f}", Text(_short(first)), Text(_short(second)))
    Console().print(table)


def _short(text: str) -> str:
    from textwrap import shorten

    return shorten(text, 200, placeholder=" …")


def _hit_json(text: str, position: int, stage: StageScore) -> object:
    read = {"read": stage.read, "tokens": stage.tokens, "windows": stage.windows} if stage.tokens else {}
    return {"index": position, "score": stage.score, "text": text, **read}
