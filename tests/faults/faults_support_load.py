"""Readers and writers of one collection, each of whom knows what has been acknowledged to them.

Ids and texts come round again, so that neither the collection nor what is remembered of it grows.
"""

import json
import random
import sys
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

from faults_support_server import WORDS, opened

from rag_plugins.errors import StoreUnavailable

IDS = 60
"""Passages of each writer."""

GONE = -1


@dataclass
class Told:
    """What a run has seen; that of another process is added to it."""

    queries: int = 0
    answered: int = 0
    failed: int = 0
    worst: float = 0.0
    writes: int = 0
    in_doubt: int = 0
    wrong: list[str] = field(default_factory=list)
    maybe: dict[str, list[int]] = field(default_factory=dict)
    """The versions that each id may have by now: one where the last write was acknowledged."""

    def __iadd__(self, other: "Told") -> "Told":
        for name in ("queries", "answered", "failed", "writes", "in_doubt", "wrong"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.worst = max(self.worst, other.worst)
        self.maybe.update(other.maybe)
        return self


def text_of(id: str, version: int) -> str:
    """Whoever reads it knows whose it is."""
    numbers = random.Random(f"{id} {version}")
    return f"{id} version {version}: {' '.join(numbers.choices(WORDS, k=6))}"


def version_of(id: str, text: str) -> int | None:
    """None for a text that was never written under the id."""
    words = text.split()
    if len(words) < 3 or not words[2].rstrip(":").isdigit():
        return None
    version = int(words[2].rstrip(":"))
    return version if text == text_of(id, version) else None


class Client:
    """One process' readers and writers, over one index."""

    def __init__(self, name, uri, assets, timeout, seed, collection="passages"):
        self.name = name
        self.timeout = timeout
        self.seed = seed
        self.open = lambda: opened(uri, timeout, assets, collection)
        self.index = self.open()
        self.told = Told()
        self.stopped = threading.Event()
        self._lock = threading.Lock()
        self._threads = []

    def start(self, readers, writers):
        works = [(self._write, n) for n in range(writers)] + [(self._read, n) for n in range(readers)]
        for work, n in works:
            thread = threading.Thread(target=self._guarded, args=(work, n))
            thread.start()
            self._threads.append(thread)

    def stop(self):
        self.stopped.set()
        for thread in self._threads:
            thread.join()
        self.index.close()

    def _guarded(self, work, n):
        try:
            work(n)
        except Exception as error:
            self._wrong(f"{work.__name__}: {type(error).__name__}: {error}")

    def _wrong(self, what):
        with self._lock:
            self.told.wrong.append(f"{self.name}: {what}")

    def _read(self, n):
        numbers = random.Random(f"{self.seed} {self.name} reads {n}")
        while not self.stopped.is_set():
            query = " ".join(numbers.choices(WORDS, k=2))
            start = time.monotonic()
            try:
                hits = self.index.search(query, k=10)
            except StoreUnavailable:
                hits = None
            took = time.monotonic() - start
            with self._lock:
                self.told.queries += 1
                self.told.answered += hits is not None
                self.told.failed += hits is None
                self.told.worst = max(self.told.worst, took)
            self._check(query, hits or [])

    def _check(self, query, hits):
        twice = [id for id, times in Counter(hit.passage.id for hit in hits).items() if times > 1]
        if twice:
            self._wrong(f"{query!r} found {len(twice)} passages twice")
        for hit in hits:
            if version_of(hit.passage.caller_id, hit.passage.llm_text) is None:
                self._wrong(f"{query!r} found {hit.passage.caller_id} with {hit.passage.llm_text!r}")

    def _write(self, n):
        numbers = random.Random(f"{self.seed} {self.name} writes {n}")
        ids = [f"{self.name}-{n}-{m}" for m in range(IDS)]
        version = 0
        while not self.stopped.is_set():
            version += 1
            chosen = numbers.sample(ids, numbers.randint(1, 5))
            if numbers.random() < 0.3:
                self._acknowledged(chosen, GONE, lambda chosen=chosen: self._remove(chosen))
            else:
                self._acknowledged(
                    chosen, version, lambda chosen=chosen, version=version: self._add(chosen, version)
                )
            self._look(numbers.choice(ids))

    def _add(self, ids, version):
        self.index.add(
            [self.index.passage(text_of(id, version), caller_id=id, doc_id=f"d-{id}") for id in ids]
        )

    def _remove(self, ids):
        if len(ids) == 1:
            self.index.delete(f"d-{ids[0]}")
        else:
            self.index.remove(ids)

    def _acknowledged(self, ids, version, write):
        maybe = self.told.maybe
        for id in ids:
            maybe[id] = [*maybe.get(id, [GONE]), version]
        try:
            write()
        except StoreUnavailable:
            with self._lock:
                self.told.in_doubt += 1
            # The server may still be at it, and Lite's does not lock a write against the next one's flush.
            self.stopped.wait(2 * self.timeout)
            return
        maybe.update({id: [version] for id in ids})
        with self._lock:
            self.told.writes += 1

    def _look(self, id):
        """Only its own writer changes it, so that what it has now is known."""
        try:
            found = self.index.get([id])
        except StoreUnavailable:
            return
        if trouble := wrong_version(id, found, self.told.maybe.get(id, [GONE])):
            self._wrong(trouble)


def wrong_version(id, found, maybe):
    """What is wrong with the passages found under an id; None if nothing."""
    if len(found) > 1:
        return f"{id} is there {len(found)} times"
    version = version_of(id, found[0].llm_text) if found else GONE
    return None if version in maybe else f"{id} has version {version}, expected one of {maybe}"


def main(uri, assets, timeout, seed):
    """The second process: reads until its standard input closes, then prints what it has seen.

    It does not write: with two writes at a time Lite's server loses rows, serves old versions of them, or
    fails to flush ("current_seq is monotonic").
    """
    client = Client("second", uri, Path(assets), float(timeout), int(seed))
    client.start(readers=2, writers=0)
    print("ready", flush=True)
    sys.stdin.read()
    client.stop()
    print(json.dumps(asdict(client.told)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
