"""How well and how fast pages are read, against bare Tesseract with its defaults on the same pages.

    python -m benchmarks.ocr --data ../shared/data/doc-sroie --pages 20

Bare is pytesseract's image_to_string with one thread. The error rate is that of `rag-plugins evaluate`:
edits by the length of the true text, any white space as one space, none between Chinese characters, words
hyphenated at a line's end joined. "Folded" also takes capitals for small letters and wide marks for narrow
ones (NFKC), as receipts are transcribed in capitals, whatever they are printed in. Times are processor
seconds, children's included; the two take turns, page by page.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from tempfile import TemporaryDirectory
from typing import TypeVar

import pytesseract
from PIL import Image
from rich.console import Console
from rich.table import Column, Table
from tqdm import tqdm

from benchmarks.made import made_texts
from rag_plugins.config import OcrConfig
from rag_plugins.evaluation.ceiling.pages import read_documents
from rag_plugins.evaluation.ceiling.rendered import made_page
from rag_plugins.evaluation.ceiling.transcription import character_errors, word_recall
from rag_plugins.ingest.documents import find_documents
from rag_plugins.ingest.images import image_sheets
from rag_plugins.ingest.ocr import recognise
from rag_plugins.ingest.sheets import Sheet
from rag_plugins.ingest.text import assemble

SETS = ("doc-oldbooks", "doc-sroie", "doc-zh-trial")
SHARED = Path(__file__).parents[2] / "shared" / "data"
BAD = 0.3
"""Character error rate above which a page is listed."""

WORKERS_PAGES = 12
"""Pages that one worker and two read in turns."""

SPEED = ("pages", "pages_read_once", "pages_per_second", "of_bare_read_once", "of_bare", "two_workers")

MEASURES = {
    "error_median": "error, median",
    "error_mean": "mean",
    "recall": "words found",
    "folded_error_median": "folded error, median",
    "folded_error_mean": "mean",
    "folded_bad": f"pages above {BAD}",
    "folded_recall": "words found",
}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Scanned:
    """A page: its true text, its image as ingestion decodes it, the language it is read in."""

    name: str
    true: str
    path: Path
    language: str

    def image(self) -> Image.Image:
        """Decoded afresh: a whole set would not fit into memory."""
        (file,) = find_documents([self.path]).files
        sheet = next(iter(image_sheets(file, OcrConfig())))
        assert isinstance(sheet, Sheet) and sheet.image is not None, sheet
        return sheet.image


@dataclass(frozen=True, slots=True)
class Read:
    """What both made of a page, and in how many processor seconds; `passes` are ours."""

    page: Scanned
    bare: str
    ours: str
    bare_seconds: float
    seconds: float
    passes: int


def main() -> None:
    """Read all pages both ways, then some with one worker and with two; print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, nargs="*", help="document sets; default: those that are there")
    parser.add_argument("--pages", type=int, help="of each set, from all over; default: all")
    parser.add_argument("--engine", choices=("tesseract", "rapidocr"), default="tesseract")
    options = parser.parse_args()
    folders: list[Path] = options.data or [SHARED / name for name in SETS if (SHARED / name).is_dir()]
    os.environ["OMP_THREAD_LIMIT"] = "1"
    with TemporaryDirectory() as folder:
        sets = {path.name: pages_of(path, options.pages) for path in folders}
        sets = sets or {"made": made_pages(Path(folder), options.pages or 20)}
        read = {name: compare(name, pages, options.engine) for name, pages in sets.items()}
        two = two_workers([page for pages in sets.values() for page in pages], options.engine)
    figures = {key: value for name, pages in read.items() for key, value in quality(name, pages).items()}
    everything = [page for pages in read.values() for page in pages]
    show(read, figures := {**figures, **speed(everything), "two_workers": two})
    print(json.dumps(figures))


def pages_of(folder: Path, limit: int | None) -> list[Scanned]:
    """Pages of a document set; what language they are in follows from the true texts."""
    documents = read_documents(folder)
    letters = "".join(documents.pages.values())
    chinese = sum("\u3400" <= char <= "\u9fff" for char in letters) > len(letters) / 4
    language = "chi_sim" if chinese else "eng"
    return [
        Scanned(name, documents.pages[name], documents.images[name], language)
        for name in from_all_over(sorted(documents.images), limit)
    ]


def from_all_over(items: Sequence[T], limit: int | None) -> list[T]:
    """`limit` of them, at even distances."""
    count = min(limit or len(items), len(items))
    return [items[number * len(items) // count] for number in range(count)]


def made_pages(folder: Path, count: int) -> list[Scanned]:
    """Where nobody has scans: passages printed small and scanned badly."""
    pages: list[Scanned] = []
    for number, text in enumerate(made_texts(count, seed=0)):
        path = folder / f"made{number}.png"
        made_page(text, number).save(path)
        pages.append(Scanned(path.stem, text, path, "eng"))
    return pages


def compare(name: str, pages: Sequence[Scanned], engine: str) -> list[Read]:
    """Both ways, page by page, so that both meet the same other load."""
    return [read_both(page, engine) for page in tqdm(pages, name, disable=not sys.stderr.isatty())]


def read_both(page: Scanned, engine: str) -> Read:
    """A page by bare Tesseract and by what ingestion calls."""
    image = page.image()
    bare, bare_seconds = timed(lambda: str(pytesseract.image_to_string(image, lang=page.language)))
    reading, seconds = timed(lambda: recognise(image, config(page, engine)))
    return Read(page, bare, assemble(reading.paragraphs)[0], bare_seconds, seconds, reading.passes)


def config(page: Scanned, engine: str) -> OcrConfig:
    """Everything else is as it comes."""
    return OcrConfig.model_validate({"languages": (page.language,), "engine": engine})


def timed(call: Callable[[], T]) -> tuple[T, float]:
    """What it gives, and the processor seconds of this process and of its children."""
    before = processor_seconds()
    made = call()
    return made, processor_seconds() - before


def processor_seconds() -> float:
    """So far."""
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def two_workers(pages: Sequence[Scanned], engine: str) -> float:
    """How many times the pages a second of one worker two have, in turns; other load counts."""
    few = from_all_over(pages, WORKERS_PAGES)
    seconds = {workers: 0.0 for workers in (1, 2)}
    for turn in range(0, len(few), WORKERS_PAGES // 2):
        images = [(page.image(), config(page, engine)) for page in few[turn : turn + WORKERS_PAGES // 2]]
        for workers in seconds:
            with ThreadPoolExecutor(workers) as pool:
                start = time.perf_counter()
                list(pool.map(recognise, *zip(*images, strict=True)))
                seconds[workers] += time.perf_counter() - start
    return round(seconds[1] / seconds[2], 2)


def folded(text: str) -> str:
    """Without the difference of capitals and of wide forms."""
    return unicodedata.normalize("NFKC", text).casefold()


def quality(name: str, pages: Iterable[Read]) -> dict[str, float]:
    """Error rates and word recall of one set, ours and bare."""
    figures: dict[str, float] = {}
    for side in ("ours", "bare"):
        for fold, form in (("", str), ("folded_", folded)):
            texts = [(form(page.page.true), form(getattr(page, side))) for page in pages]
            errors = [character_errors(*pair) for pair in texts]
            recalls = [word_recall(*pair) for pair in texts]
            figures |= {
                f"{name}_{side}_{fold}error_median": median(errors),
                f"{name}_{side}_{fold}error_mean": fmean(errors),
                f"{name}_{side}_{fold}bad": sum(error > BAD for error in errors),
                f"{name}_{side}_{fold}recall": fmean(recalls),
            }
    return {key.replace("-", "_"): round(value, 4) for key, value in figures.items()}


def speed(pages: Sequence[Read]) -> dict[str, float | None]:
    """Pages a second and core, and by what of bare's: of pages read once, and of all."""
    once = [page for page in pages if page.passes == 1]
    return {
        "pages": len(pages),
        "pages_read_once": len(once),
        "pages_per_second": rate(pages),
        "of_bare_read_once": of_bare(once),
        "of_bare": of_bare(pages),
    }


def rate(pages: Sequence[Read]) -> float:
    """Pages a processor second."""
    return round(len(pages) / sum(page.seconds for page in pages), 3)


def of_bare(pages: Sequence[Read]) -> float | None:
    """Our speed by bare Tesseract's."""
    return (
        round(sum(page.bare_seconds for page in pages) / sum(page.seconds for page in pages), 3)
        if pages
        else None
    )


def show(read: Mapping[str, Sequence[Read]], figures: Mapping[str, float | None]) -> None:
    """Two rows a set, the pages that read badly, the speed."""
    table = Table(Column("set", no_wrap=True), "by", *MEASURES.values(), title="Reading pages")
    for name in read:
        for side in ("ours", "bare"):
            values = [figures[f"{name}_{side}_{measure}".replace("-", "_")] for measure in MEASURES]
            table.add_row(name, side, *(f"{value:.4g}" for value in values))
    console = Console()
    console.print(table)
    for name, pages in read.items():
        errors = {
            page.page.name: character_errors(folded(page.page.true), folded(page.ours)) for page in pages
        }
        listed = [f"{page} {error:.2f}" for page, error in errors.items() if error > BAD]
        console.print(f"{name}, folded error above {BAD}: {', '.join(listed) or 'none'}", markup=False)
    console.print({key: figures[key] for key in SPEED}, markup=False)


if __name__ == "__main__":
    main()
