"""RapidOCR as an engine: PP-OCR on ONNX Runtime, with the models that its wheel brings and no others."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rag_plugins.errors import ConfigError, require
from rag_plugins.ingest.ocr.engine import Advice, Layout
from rag_plugins.ingest.ocr.reading import Reading
from rag_plugins.ingest.ocr.rows import in_reading_order
from rag_plugins.ingest.text import Piece, clean, spaceless
from rag_plugins.types import Box

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Rapid"]

_LANGUAGES = frozenset(
    "eng chi_sim chi_tra jpn deu fra spa ita por nld swe dan nor fin isl pol ces slk slv hrv hun ron tur "
    "est lav lit sqi cat afr lat epo".split()
)
"""Those whose letters the recognition model of the wheel knows."""

_MODELS = {"Det": "*_det_*.onnx", "Cls": "*_cls_*.onnx", "Rec": "*_rec_*.onnx"}

_SETTINGS = {
    "Global.log_level": "critical",
    "Global.use_vertical_padding": False,
    "Global.return_word_box": True,
    "EngineConfig.onnxruntime.intra_op_num_threads": 1,
    "EngineConfig.onnxruntime.inter_op_num_threads": 1,
}
"""Files given by name are never fetched. Pages are read at once on as many threads as there are workers."""

_LONGEST = 2000
"""Pixels of the longer side of what is searched for text, as RapidOCR itself has it."""

_SIDEWAYS = 1.5
"""So many times taller than wide, RapidOCR turns a line anticlockwise before it reads it."""

_Corners = NDArray[np.float64]
"""(4, 2) in pixels: where a line begins above, ends above, ends below, begins below."""


class Rapid:
    """RapidOCR, one thread a page. Its time cannot be limited: it runs in this process."""

    layouts: frozenset[Layout] = frozenset()
    languages = _LANGUAGES
    detects = False
    name = "RapidOCR"
    upright: float = 0.8

    def __init__(self) -> None:
        """Raises `MissingExtra`; `ConfigError` where the installed wheel has no models."""
        self._rapidocr: Any = require("rapidocr", extra="rapidocr")
        require("onnxruntime", extra="rapidocr")
        self._models = _bundled(Path(self._rapidocr.__file__).parent / "models")
        self._own = threading.local()

    def read(self, image: Image, layout: Layout, languages: tuple[str, ...]) -> Reading:
        """All languages at once, whichever are asked for; lines are put in order here."""
        pixels = _pixels(image)
        found, _, texts, _ = self._steps(pixels, use_cls=False, use_rec=True)
        size = (pixels.shape[1], pixels.shape[0])
        found_lines = zip(found.boxes, texts.txts, texts.word_results, strict=True) if texts.txts else ()
        lines = [[*_pieces(text, info, _along(box), size)] for box, text, info in found_lines]
        return Reading(image, in_reading_order(filter(None, lines), image.width / image.height), languages)

    def cure(self, languages: Iterable[str]) -> str:
        """None here."""
        return 'For others: ocr.engine = "tesseract"'

    def advice(self, image: Image) -> Advice:
        """By a vote of the lines, which may lie on a side or stand on their heads."""
        found, upright, _, _ = self._steps(_pixels(image), use_cls=True, use_rec=False)
        if not upright.cls_res:
            return Advice()
        lying = sum(map(_lies, found.boxes)) * 2 > len(found.boxes)
        heads = sum(label == "180" for label, _ in upright.cls_res) * 2 > len(upright.cls_res)
        return Advice(
            {(False, False): 0, (False, True): 180, (True, False): 270, (True, True): 90}[lying, heads]
        )

    def _steps(self, pixels: NDArray[np.uint8], **parts: bool) -> Any:
        """One reader a thread: RapidOCR keeps its settings and the page that it works on."""
        if not hasattr(self._own, "reader"):
            models = {f"{part}.model_path": str(path) for part, path in self._models.items()}
            self._own.reader = self._rapidocr.RapidOCR(params={**_SETTINGS, **models})
        self._own.reader.update_params(**parts)
        return self._own.reader.run_ocr_steps(pixels, {})


def _bundled(folder: Path) -> dict[str, Path]:
    models: dict[str, Path] = {}
    for part, pattern in _MODELS.items():
        found = sorted(folder.glob(pattern))
        if not found:
            raise ConfigError(
                f"ocr.engine: the installed rapidocr has no {pattern} in {folder}; models come with "
                "rapidocr>=3.4, none is fetched: pip install --upgrade 'rag-plugins[rapidocr]'"
            )
        models[part] = found[-1]
    return models


def _pixels(image: Image) -> NDArray[np.uint8]:
    colours = image.convert("RGB")
    colours.thumbnail((_LONGEST, _LONGEST))
    return np.ascontiguousarray(np.asarray(colours)[:, :, ::-1])


def _lies(box: _Corners) -> bool:
    wide = max(np.linalg.norm(box[1] - box[0]), np.linalg.norm(box[2] - box[3]))
    high = max(np.linalg.norm(box[3] - box[0]), np.linalg.norm(box[2] - box[1]))
    return bool(high >= _SIDEWAYS * wide)


def _along(box: _Corners) -> _Corners:
    """Corners in the direction of reading: RapidOCR takes lines that lie to run downwards."""
    return np.roll(box, -1, axis=0) if _lies(box) else box


def _pieces(text: str, info: Any, corners: _Corners, size: tuple[int, int]) -> Iterator[Piece]:
    """Words, and single characters where no spaces are written, at the columns of the recogniser's output."""
    columns = [column + 0.5 for word in info.word_cols for column in word]
    half = float(np.median(np.diff(columns))) / 2 if len(columns) > 1 else 0.5
    before = 0
    for word, start in _words(text):
        places = columns[before : before + len(word)]
        before += len(word)
        shown = clean(word)
        if shown and places:
            ends = np.clip(
                [(places[0] - half) / info.line_txt_len, (places[-1] + half) / info.line_txt_len], 0, 1
            )
            sure = float(np.mean(info.confs[start : start + len(word)]))
            yield Piece(shown, _box(corners, ends, size), min(1.0, max(0.0, sure)))


def _words(text: str) -> Iterator[tuple[str, int]]:
    """With where each begins in the text."""
    start = 0
    for _, run in groupby(enumerate(text), lambda at: at[0] if spaceless(at[1]) else -1 - at[1].isspace()):
        word = "".join(char for _, char in run)
        if not word.isspace():
            yield word, start
        start += len(word)


def _box(corners: _Corners, ends: NDArray[np.float64], size: tuple[int, int]) -> Box:
    above, below = (
        first + ends[:, None] * (last - first) for first, last in (corners[[0, 1]], corners[[3, 2]])
    )
    points = np.clip(np.concatenate((above, below)) / size, 0, 1)
    (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return Box(left, top, right, bottom)
