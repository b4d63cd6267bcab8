"""PDFs, read by a process of their own, which a time limit holds: see `pdfium`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from PIL import Image
from pydantic import SecretStr

from rag_plugins.config import OcrConfig
from rag_plugins.errors import BadDocument
from rag_plugins.ingest.documents import SourceFile
from rag_plugins.ingest.sheets import Sheet, Sheets
from rag_plugins.types import Box, Word

__all__ = ["PdfReader"]

_PROGRAM = (sys.executable, "-P", "-m", "rag_plugins.ingest.pdfium")

_ALONE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

SLOW = "reading it from its PDF takes longer than a page may (ocr.timeout)"
DIED = "the reader of PDFs died of it: damaged, or made to take all memory"


class PdfReader:
    """Reads PDFs in a process that is started for the first and kept for the next ones, until closed."""

    def __init__(self, config: OcrConfig, passwords: Sequence[SecretStr] = (), *, fine: bool = False) -> None:
        """`passwords` are tried in turn where a file is locked. `fine`: every page as for recognition."""
        self._config = config
        self._passwords = passwords
        self._fine = fine
        self._child: _Child | None = None

    def sheets(self, file: SourceFile) -> Sheets:
        """One sheet a page, with text and words where the page has a text layer.

        A page that takes too long, or the process with it, is a `BadDocument`, and the next one is tried.
        """
        number = pages = 0
        while True:
            try:
                for head, pixels in self._replies(file, number + 1):
                    pages = head.get("pages", pages)
                    if "pages" not in head:
                        number += 1
                        yield _sheet(file, head, pixels)
                return
            except _EndedError as error:
                number += 1
                yield BadDocument(file.source, number if pages else None, str(error))
            if number >= pages:
                return

    def close(self) -> None:
        """End the process."""
        if self._child is not None:
            self._child.end()
            self._child = None

    def _replies(self, file: SourceFile, first: int) -> Iterator[tuple[Mapping[str, Any], bytearray]]:
        """Raises `_EndedError` where the process ends instead, by itself or for the time that it takes."""
        child = self._child = self._child or _Child()
        child.ask(
            path=str(file.path),
            file=file.source,
            passwords=[password.get_secret_value() for password in self._passwords],
            first=first,
            max_pages=self._config.max_pages,
            dpi=self._config.dpi,
            fine=self._fine,
        )
        done = False
        try:
            while True:
                head, pixels = child.reply(self._config.timeout)
                done = "done" in head
                if done:
                    return
                yield head, pixels
        finally:
            if not done:  # What it has still to say, nobody waits for.
                self.close()


class _EndedError(Exception):
    """The process ended in the middle; the message says why."""


class _Child:
    """The process."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            _PROGRAM, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **_ALONE}
        )

    def ask(self, **request: object) -> None:
        assert self._process.stdin is not None
        with suppress(OSError):  # It is gone, and so will be the reply.
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()

    def reply(self, seconds: float) -> tuple[Mapping[str, Any], bytearray]:
        """Raises `_EndedError`."""
        late = threading.Event()
        timer = threading.Timer(seconds, self._kill, (late,))
        timer.daemon = True
        timer.start()
        try:
            found = self._read()
        finally:
            timer.cancel()
            timer.join()
        if late.is_set() or found is None:
            raise _EndedError(SLOW if late.is_set() else DIED)
        return found

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _kill(self, late: threading.Event) -> None:
        late.set()
        self._process.kill()

    def _read(self) -> tuple[Mapping[str, Any], bytearray] | None:
        """None at the end of what it writes."""
        out: Any = self._process.stdout
        line = out.readline()
        if not line.endswith(b"\n"):
            return None
        head = json.loads(line)
        pixels = bytearray(head["bytes"])
        return (head, pixels) if out.readinto(pixels) == len(pixels) else None


def _sheet(file: SourceFile, head: Mapping[str, Any], pixels: bytearray) -> Sheet | BadDocument:
    if "bad" in head:
        return BadDocument(file.source, *head["bad"])
    words = tuple(Word(start, end, line, Box(*edges)) for start, end, line, *edges in head["words"])
    image = Image.frombuffer("RGB", head["size"], pixels, "raw", "RGB", 0, 1)  # Not copied.
    return Sheet(head["page"], image, head["text"], words)
