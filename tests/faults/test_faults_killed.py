"""kill -9 at a random moment of what changes a database file: nothing acknowledged is lost, nothing is twice.

The same calls are made of a second database by a process that nobody kills: what that one has after each call
is what the killed one must have had acknowledged, and what a resumed one must have in the end.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import faults_support_activities as activities
import pytest
from faults_support_activities import ACTIVITIES, Session, opened, plan

HERE = Path(__file__).parent
SEED = int(os.environ.get("RAG_FAULTS_SEED", "10"))
LEGS = ("dense", "bm25")
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join(map(str, [HERE, HERE.parent, HERE.parent.parent])),
}


@dataclass
class Findings:
    """What the kills of a run have shown."""

    kills: Counter = field(default_factory=Counter)
    within: Counter = field(default_factory=Counter)  # A call had begun and not returned.
    acknowledged: int = 0
    lost: list = field(default_factory=list)
    wrong: list = field(default_factory=list)
    twice: list = field(default_factory=list)
    resumed: int = 0

    def __str__(self):
        kills = ", ".join(f"{name} {count}" for name, count in self.kills.items())
        return (
            f"{self.kills.total()} kills ({kills}), {self.within.total()} within a call; passages that were "
            f"acknowledged and looked for {self.acknowledged}, lost {len(self.lost)}, not as they were "
            f"{len(self.wrong)}, duplicate hits {len(self.twice)}; resumed to exactly the expected ids "
            f"{self.resumed}"
        )


class Child:
    """A process that makes the calls of a plan; `ended` counts those that have returned."""

    def __init__(self, database, folder):
        self._process = subprocess.Popen(
            [sys.executable, activities.__file__, str(database), str(folder)],
            env=ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.begun = self.ended = 0

    def start(self, calls):
        assert self._process.stdout.readline() == "ready\n"
        self._process.stdin.write(json.dumps(calls) + "\n")
        self._process.stdin.flush()

    def wait_for(self, number):
        """Until that call begins."""
        while self.begun <= number:
            self._take(self._process.stdout.readline())

    def kill(self):
        self._process.send_signal(signal.SIGKILL)
        rest, _ = self._process.communicate()
        for line in rest.splitlines(keepends=True):
            self._take(line)

    def _take(self, line):
        word, _, number = line.partition(" ")
        assert word in ("begin", "end", "done\n") and line.endswith("\n"), f"the child said {line!r}"
        if word == "begin":
            self.begun = int(number) + 1
        elif word == "end":
            self.ended = int(number) + 1


@contextmanager
def child(database, folder):
    process = Child(database, folder)
    try:
        yield process
    finally:
        process.kill()


def contents(index):
    return {passage.id: passage for passage in index.find()}


def made(reference, calls):
    """What the reference has before the first call and after each, and how long each took."""
    states, seconds = [before(reference)], []
    for call in calls:
        start = time.perf_counter()
        reference.do(call)
        seconds.append(time.perf_counter() - start)
        states.append(contents(reference.index) if reference.index else states[-1])
    return states, seconds


def before(reference):
    with opened(reference.path) as index:
        return contents(index)


def one_kill(activity, turn, random, session, reference, size, findings):
    """A plan is begun by a process that is killed, looked at, and ended by one that is not."""
    calls = plan(activity, turn, random, session.folder, size)
    with child(session.path, session.folder) as process:
        states, seconds = made(reference, calls)
        number = random.randrange(len(calls))
        process.start(calls)
        process.wait_for(number)
        time.sleep(random.uniform(0.0, 1.2 * seconds[number]))
        process.kill()
    done = process.ended
    findings.kills[activity] += 1
    findings.within[activity] += process.begun > done
    where = f"{activity}, turn {turn}, after {done} of {len(calls)} calls of {calls[done : done + 1]!s:.200}"
    acknowledged, then = states[done], states[min(done + 1, len(calls))]
    bare = without_memory(session.path)
    for path in (session.path, bare):
        with opened(path) as index:
            look(index, acknowledged, then, f"{where}, {path.name}", findings)
    session.do(["open"])
    for call in calls[max(done, 1) :]:
        if call == ["open"] and session.index or call == ["close"] and not session.index:
            continue
        session.do(call)
    session.close()
    with opened(session.path) as index:
        look(index, states[-1], states[-1], f"{where}, resumed", findings)
        findings.resumed += index.store.ids() == sorted(states[-1])
        if activity == "ingest":
            again = index.ingest([session.folder], root=session.folder)
            assert not again.documents and not again.bad and again.unchanged, again


def without_memory(database):
    """A copy without what is derived from Lite's rows, so that these are read."""
    bare = database.with_name("bare.db")
    for path in database.parent.glob("bare.db*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copytree(database, bare, ignore=shutil.ignore_patterns("LOCK"))
    for path in database.parent.glob(f"{database.name}.*"):
        if not path.name.endswith((".resident", "-shm")):
            copy = shutil.copytree if path.is_dir() else shutil.copyfile
            copy(path, database.with_name(path.name.replace(database.name, bare.name, 1)))
    return bare


def look(index, acknowledged, then, where, findings):
    """Compare with what was acknowledged, and with what the call that was killed would have made of it."""
    found = contents(index)
    ids = index.store.ids()
    findings.twice += [f"{where}: {id}" for id, count in Counter(ids).items() if count > 1]
    if not index.count() == len(ids) == len(found) or sorted(found) != sorted(ids):
        findings.wrong.append(f"{where}: {index.count()} counted, {len(ids)} ids, {len(found)} passages")
    findings.acknowledged += len(acknowledged)
    documents_of_then = {passage.doc_id for passage in then.values()}
    for id, passage in acknowledged.items():
        if id in found:
            if found[id] not in (passage, then.get(id)):
                findings.wrong.append(f"{where}: {id} is {found[id]}, expected {passage} or {then.get(id)}")
        elif id in then:
            findings.lost.append(f"{where}: {passage}")
    findings.wrong += [
        f"{where}: unknown or deleted {found[id]}" for id in found.keys() - acknowledged.keys() - then.keys()
    ]
    whole(found, acknowledged, then, documents_of_then, where, findings)
    searched(index, found, where, findings)


def whole(found, acknowledged, then, documents, where, findings):
    """Of a file that was being read again there is all of the old passages, or all of the new ones."""
    for doc_id in documents:
        if doc_id.startswith("doc"):
            continue
        old, new = ({id for id, p in state.items() if p.doc_id == doc_id} for state in (acknowledged, then))
        if old and not (old <= found.keys() or new <= found.keys()):
            findings.lost.append(f"{where}: {doc_id} is neither as it was nor as it was about to be")


def searched(index, found, where, findings):
    """Each leg has each passage once, and finds those asked for."""
    for leg in LEGS:
        hits = [hit.passage.id for hit in index.search("common", k=len(found) + 100, legs=[leg])]
        findings.twice += [f"{where}, {leg}: {id}" for id, count in Counter(hits).items() if count > 1]
        expected = {id for id, passage in found.items() if "Common" in passage.views[0].text}
        if leg == "bm25" and set(hits) != expected or not set(hits) <= found.keys():
            findings.wrong.append(f"{where}, {leg}: {len(hits)} hits, expected {len(expected)}")
    some = list(found.values())[:: max(len(found) // 8, 1)]
    for passage in some:
        text = passage.views[0].text
        hits = [hit.passage for hit in index.search(text, k=10)]
        if passage not in hits or len({hit.id for hit in hits}) < len(hits):
            findings.wrong.append(f"{where}: {text!r} does not find itself once")
        own = text.rstrip(".").split()[-1]
        if own.isdigit() and [hit.passage.id for hit in index.search(own, legs=["bm25"])] != [passage.id]:
            findings.wrong.append(f"{where}: {own} does not find its passage alone")


def run(folder, kills, size):
    """So many kills of each activity, each on a database of its own; what they have shown."""
    findings = Findings()
    for activity, count in kills.items():
        place = folder / activity
        (place / "files").mkdir(parents=True)
        session, reference = (
            Session(place / f"{name}.db", place / "files") for name in ("handbook", "reference")
        )
        session.do(["open"])
        session.do(["add", {key: 0 for key in range(size)}])
        session.close()
        for path in place.glob("handbook.db*"):
            copy = shutil.copytree if path.is_dir() else shutil.copyfile
            copy(path, path.with_name(path.name.replace("handbook", "reference")))
        random = Random(f"{SEED} {activity}")
        for turn in range(count):
            one_kill(activity, turn, random, session, reference, size, findings)
        print(f"seed {SEED}, {activity}: {findings}")
    return findings


def check(findings):
    assert not findings.lost and not findings.twice and not findings.wrong, "\n".join(
        [str(findings), *findings.lost[:5], *findings.twice[:5], *findings.wrong[:5]]
    )
    assert findings.resumed == findings.kills.total()


@pytest.mark.faults
@pytest.mark.timeout(3600)
def test_fifty_kills_lose_nothing_that_was_acknowledged(tmp_path):
    start = time.monotonic()
    findings = run(tmp_path, dict.fromkeys(ACTIVITIES, 10), size=620)
    print(f"seed {SEED}: {findings}; {time.monotonic() - start:.0f} s")
    check(findings)
    assert findings.within.total() >= 25


def test_a_kill_loses_nothing_that_was_acknowledged(tmp_path):
    check(run(tmp_path, dict.fromkeys(("ingest", "upsert", "delete"), 1), size=24))


UNCLOSED = """
import sys
from faults_support_activities import opened
index = opened(sys.argv[1])
index.add(index.passage(f"Common words {n}.", caller_id=str(n)) for n in range(40))
index.remove(["7"])
"""


def test_a_program_that_ends_without_closing_ends_at_once_and_loses_nothing(tmp_path):
    command = [sys.executable, "-c", UNCLOSED, str(tmp_path / "handbook.db")]
    # Lite's server is a thread that ends before: who calls it at exit would wait for ten minutes.
    subprocess.run(command, env=ENVIRONMENT, check=True, timeout=120)
    with opened(tmp_path / "handbook.db") as index:
        assert {passage.caller_id for passage in index.find()} == set(map(str, range(40))) - {"7"}
        assert len(index.search("common", k=100, legs=["bm25"])) == 39
