"""What the readers of each format hand on: a page before recognition."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, TypeVar, TypeVarTuple

from rag_plugins.errors import BadDocument, RagPluginsError
from rag_plugins.types import Word

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["STORED_SIDE", "Sheet", "Sheets", "attempt", "too_many_pages"]

_Ts = TypeVarTuple("_Ts")
_T = TypeVar("_T")

STORED_SIDE = 1600
"""Longest side of a stored page image in pixels: small print stays readable, some 100 KB a page."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """A page as its file gives it: `text` None means that the image (modes 1, L, RGB) is to be recognised.

    `title`: of a document with headings, which are the lines of its text that begin with #; None for others.
    `removed`: characters that no text has, such as NUL, which were taken out.
    """

    number: int
    image: Image | None
    text: str | None = None
    words: tuple[Word, ...] = ()
    title: str | None = None
    removed: int = 0


Sheets: TypeAlias = Generator[Sheet | BadDocument, None, None]
"""What a reader makes of a file; to be closed, as it holds the file open."""


def attempt(file: str, page: int | None, call: Callable[[*_Ts], _T], *args: *_Ts) -> _T | BadDocument:
    """What the call gives; whatever a decoder raises on bad bytes becomes one `BadDocument`."""
    try:
        return call(*args)
    except BadDocument as error:
        # Made anew, here and below: a traceback would keep the decoded page in memory.
        return BadDocument(error.file, error.page, error.reason)
    except RagPluginsError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or "no further word"
        return BadDocument(file, page, f"cannot be read: {reason} ({type(error).__name__})")


def too_many_pages(file: str, limit: int) -> BadDocument:
    """The report of the pages after the last one that is read."""
    return BadDocument(file, limit + 1, f"not read, nor what follows: the limit is {limit} (ocr.max_pages)")
