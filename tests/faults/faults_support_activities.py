"""What is done to an index while it is killed: plans of calls, and a program that runs one.

    python faults_support_activities.py DATABASE FOLDER < plan.json

tells on its output when each call begins and when it has returned, which acknowledges it.
"""

import json
import re
import sys
import zlib
from functools import cache
from pathlib import Path
from random import Random

import numpy as np
from fusion_support import WORDS, Meaning

from rag_plugins import Config, RagIndex
from rag_plugins.config import Bm25Leg, ChunkingConfig, DenseLeg, LateInteractionConfig, OcrConfig
from rag_plugins.models.protocols import DENSE, Encoding, Representation
from rag_plugins.vectors import normalise

ACTIVITIES = ("ingest", "upsert", "delete", "rewrite", "snapshot")

CONFIG = Config(
    legs=(DenseLeg(model="words"), Bm25Leg()),
    rerank=(LateInteractionConfig(depth=20),),
    chunking=ChunkingConfig(size=24, overlap=0),
    ocr=OcrConfig(workers=1),
)


DIM = 384
_AXES = np.linalg.qr(np.random.default_rng(0).standard_normal((DIM, DIM)))[0] * np.arange(1, DIM + 1) ** -0.7


@cache
def _direction(name):
    # Of falling energy, and that hidden by a rotation: so there is a funnel to be fitted.
    return _AXES @ np.random.default_rng(zlib.crc32(name.encode())).standard_normal(DIM)


class Words(Meaning):
    """A text is the mean of its words' directions; a token is a word."""

    dim = DIM
    fingerprint = {"model": "words"}
    produces = frozenset({Representation.DENSE, Representation.TOKENS})

    def vector(self, text):
        return sum(map(_direction, text.lower().replace(".", " ").split()))

    def encode_queries(self, queries, want=DENSE):
        return self._wanted(list(queries), want)

    def encode_documents(self, views, want=DENSE):
        return self._wanted([view.text for view in views], want)

    def query_spans(self, query):
        return [found.span() for found in re.finditer(r"\S+", query)], []

    def unread(self, query):
        return 0.0

    def token_counts(self, texts):
        return [len(text.split()) for text in texts]

    def _wanted(self, texts, want):
        if Representation.TOKENS not in want:
            return self._encode(texts)
        tokens = tuple(
            normalise(self._encode(text.lower().replace(".", " ").split()).dense) for text in texts
        )
        dense = self._encode(texts).dense if Representation.DENSE in want else None
        return Encoding(dense=dense, tokens=tokens)


def opened(path):
    return RagIndex.open(path, config=CONFIG, encoders={"dense": Words()})


class Session:
    """An index, and the calls of plans on it."""

    def __init__(self, path, folder):
        self.path, self.folder = path, folder
        self.index = None

    def do(self, call):
        name, *arguments = call
        getattr(self, f"_{name}")(*arguments)

    def close(self):
        if self.index:
            self.index.close()
            self.index = None

    def _open(self):
        self.index = opened(self.path)

    def _close(self):
        self.close()

    def _ingest(self, names):
        summary = self.index.ingest([self.folder / name for name in names], root=self.folder)
        assert not summary.bad, summary.bad

    def _add(self, versions):
        self.index.add(passage(self.index, int(key), version) for key, version in versions.items())

    def _remove(self, keys):
        self.index.remove([str(key) for key in keys])

    def _delete(self, doc_id):
        self.index.delete(doc_id)

    def _tune(self, recall):
        self.index.tune(recall=recall)

    def _learn(self):
        self.index.learn()

    def _rewrite(self):
        bm25 = self.index.legs["bm25"].encoder
        self.index.store.rewrite(
            "bm25", lambda some: bm25.encode_documents([passage.views[0] for passage in some]).sparse
        )


def word(key, version):
    """A word that this version of this passage has alone."""
    return str(10_000_000 + 1000 * key + version)


def text(key, version):
    words = Random(f"{key} {version}").sample(WORDS, 12)
    return f"Common {' '.join(words[:6])}. {' '.join(words[6:])} {word(key, version)}."


def passage(index, key, version):
    return index.passage(
        text(key, version), doc_id=f"doc{key // 4}", caller_id=str(key), metadata={"version": version}
    )


def document(number, version, kind, paragraphs=5):
    """A file of some paragraphs, of which each becomes a passage or more."""
    parts = [text(100_000 + 100 * number + n, version) for n in range(paragraphs)]
    if kind == "html":
        body = "".join(f"<p>{part}</p>" for part in parts)
        return f"<html><head><title>Manual {number}</title></head><body>{body}</body></html>"
    head = f"# Manual {number}\n\n" if kind == "md" else ""
    return head + "\n\n".join(parts)


def plan(activity, turn, random, folder, size):
    """The calls of one turn; the files that they read are written, those of earlier turns changed."""
    calls = {
        "ingest": _ingestion,
        "upsert": _upserts,
        "delete": _deletions,
        "rewrite": _rewrites,
        "snapshot": _snapshots,
    }[activity](turn, random, folder, size)
    return [["open"], *calls, ["close"]]


def _ingestion(turn, random, folder, size):
    new = [(n, turn) for n in range(8 * turn, 8 * turn + 8)]
    changed = [(n, turn) for n in range(8 * turn) if n % 4 == turn % 4][-6:]
    names = []
    for number, version in new + changed:
        kind = ("md", "txt", "html")[number % 3]
        name = f"manual-{number}.{kind}"
        (folder / name).write_text(
            document(number, version, kind, random.randint(2, 2 + size // 20)), encoding="utf-8"
        )
        names.append(name)
    random.shuffle(names)
    return [["ingest", names[start : start + 3]] for start in range(0, len(names), 3)]


def _upserts(turn, random, folder, size):
    """Passages replaced and others new, together; one call of more than a batch."""
    calls = []
    for n in range(6):
        old = {key: turn + 1 for key in random.sample(range(size), min(300, size) if n == 3 else 6)}
        new = {size + 100 * turn + 10 * n + m: 0 for m in range(5)}
        calls.append(["add", old | new])
    return calls


def _deletions(turn, random, folder, size):
    """Documents and passages deleted, and some of them added again later."""
    calls = []
    for n in range(5):
        keys = random.sample(range(size), 12)
        calls += [["remove", keys], ["delete", f"doc{random.randrange(size // 4)}"]]
        calls += [["add", {key: 10 * turn + n + 1 for key in keys[:8]}]]
    return calls


def _rewrites(turn, random, folder, size):
    """Rotation and prefixes fitted, weights of terms and of legs made anew, between writes."""
    kinds = [["tune", 0.9], ["rewrite"], ["learn"], ["tune", 0.99]]
    random.shuffle(kinds)
    calls = []
    for n, kind in enumerate(kinds):
        calls += [kind, ["add", {size + 100 * turn + 10 * n + m: 0 for m in range(5)}]]
    return calls


def _snapshots(turn, random, folder, size):
    """Enough changes for a snapshot, written at the end of a call and when the index is closed."""
    calls = []
    for n in range(3):
        keys = random.sample(range(size), 20 if n % 2 else min(280, size))
        calls += [["add", {key: 10 * turn + n + 1 for key in keys}], ["close"], ["open"]]
    return calls


def main():
    session = Session(Path(sys.argv[1]), Path(sys.argv[2]))
    print("ready", flush=True)
    for number, call in enumerate(json.loads(sys.stdin.readline())):
        print("begin", number, flush=True)
        session.do(call)
        print("end", number, flush=True)
    print("done", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
