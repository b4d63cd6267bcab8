"""Pixels in, words with boxes and confidences out; what reads badly is read in other ways too."""

from rag_plugins.ingest.ocr.engine import Advice, Layout, OcrEngine
from rag_plugins.ingest.ocr.passes import recognise
from rag_plugins.ingest.ocr.reading import Reading
from rag_plugins.ingest.ocr.tesseract import installed_languages, tesseract_version

__all__ = [
    "Advice",
    "Layout",
    "OcrEngine",
    "Reading",
    "installed_languages",
    "recognise",
    "tesseract_version",
]
