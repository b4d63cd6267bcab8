"""A collection made of a set's texts, to be searched and thrown away."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

from tqdm import tqdm

from rag_plugins.config import Config
from rag_plugins.errors import BadInput
from rag_plugins.evaluation.beir import read_folder
from rag_plugins.evaluation.judged import Judged, judged_documents
from rag_plugins.index import RagIndex
from rag_plugins.ingest.chunking import chunk
from rag_plugins.ingest.documents import SourceFile
from rag_plugins.ingest.pages import Page
from rag_plugins.models.protocols import Encoder
from rag_plugins.types import Passage

__all__ = ["fill", "indexed"]

_BATCH = 256


@contextmanager
def indexed(
    folder: str | Path,
    config: Config,
    *,
    queries: int | None = None,
    chunked: bool = False,
    encoders: Mapping[str, Encoder] = MappingProxyType({}),
    progress: bool = False,
) -> Generator[tuple[RagIndex, Judged]]:
    """A BEIR-format folder, indexed afresh, and its queries; the collection is gone at the end.

    A line of the corpus is one passage; `chunked` cuts it into passages and gives the line its best
    passage's score. `queries` limits how many, drawn with a fixed seed. `encoders` are as `RagIndex.open`
    takes them. Raises `BadDocument` for a folder that cannot be read and `BadInput` where no query has a
    relevant document.
    """
    tests = read_folder(folder).sample(queries)
    if not tests.queries:
        raise BadInput(f"{folder}: no query has a relevant document in qrels.tsv")
    with (
        TemporaryDirectory() as directory,
        RagIndex.open(Path(directory) / "set.db", config=config, encoders=encoders) as index,
    ):
        fill(index, tests.corpus, chunked, progress)
        yield index, judged_documents(tests, index)


def fill(index: RagIndex, corpus: Mapping[str, str], chunked: bool, progress: bool) -> None:
    """Add texts by document, each one passage or cut into passages."""
    passages = [passage for id, text in corpus.items() for passage in _passages(index, id, text, chunked)]
    with tqdm(total=len(passages), unit="passage", desc="Indexing", disable=not progress) as bar:
        for start in range(0, len(passages), _BATCH):
            bar.update(len(index.add(passages[start : start + _BATCH])))


def _passages(index: RagIndex, id: str, text: str, chunked: bool) -> list[Passage]:
    if not chunked:
        return [index.passage(text, doc_id=id, caller_id=id)]
    file = SourceFile(path=Path(id), doc_id=id, source=id, sha256="")
    page = Page(number=1, text=text, words=(), image=None, origin="text")
    return chunk(page, file, index.config.chunking, tenant=index.tenant)
