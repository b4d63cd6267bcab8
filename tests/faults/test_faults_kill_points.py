"""A process that ends before each of its writes in turn: what it leaves is opened, and nothing is damaged."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from faults_support_activities import opened

HERE = Path(__file__).parent
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join(map(str, [HERE, HERE.parent, HERE.parent.parent])),
}

PROGRAM = """
import os, sys
from faults_support_activities import opened
from rag_plugins.store.engine import Engine
from rag_plugins.store.records import FileRecords

left = int(sys.argv[2])

def ended_before(kind, name):
    method = getattr(kind, name)
    def call(*args, **kwargs):
        global left
        left -= 1
        if left < 0:
            os._exit(9)
        return method(*args, **kwargs)
    setattr(kind, name, call)

index = opened(sys.argv[1])
ended_before(Engine, "_change")
ended_before(FileRecords, "put")
ended_before(FileRecords, "delete")
"""

WORK = {
    "remove": 'index.remove(["1", "3", "12"])',
    "delete": 'index.delete("doc 4")',
    "replace": 'index.add([index.passage(f"Other words {n}.", caller_id=str(n)) for n in (2, 30)])',
    "clear": "index.clear()",
}
LEAVES = {"remove": {"1", "3", "12"}, "delete": {"4"}, "replace": set(), "clear": set(map(str, range(20)))}
COMES = {"replace": {"2", "30"}}


def template(folder):
    with opened(folder / "whole.db") as index:
        index.add(index.passage(f"Common words {n}.", caller_id=str(n), doc_id=f"doc {n}") for n in range(20))


def copied(folder, number):
    for path in folder.glob("whole.db*"):
        copy = shutil.copytree if path.is_dir() else shutil.copyfile
        copy(path, folder / path.name.replace("whole", str(number)))
    return folder / f"{number}.db"


LONG = [pytest.param(name, marks=pytest.mark.faults) for name in ("delete", "replace", "clear")]


@pytest.mark.parametrize("work", ["remove", *LONG])
@pytest.mark.timeout(600)
def test_who_ends_before_any_of_its_writes_leaves_a_collection_that_opens(tmp_path, work):
    template(tmp_path)
    old, new = set(map(str, range(20))), COMES.get(work, set())
    ended = []
    while not ended or ended[-1]:
        path = copied(tmp_path, len(ended))
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM + WORK[work] + "\nos._exit(0)", path, str(len(ended))],
            env=ENVIRONMENT,
            timeout=100,
        )
        ended.append(done.returncode)
        assert done.returncode in (0, 9)
        with opened(path) as index:
            found = {passage.caller_id: passage.llm_text for passage in index.find()}
            assert old - LEAVES[work] <= found.keys() <= old | new
            others = {text for id, text in found.items() if text != f"Common words {id}."}
            assert others <= {f"Other words {id}." for id in new}
            assert index.audit().sound
            if not ended[-1]:
                assert found.keys() == (old | new) - LEAVES[work]
        with opened(path) as index:  # In order from now on.
            assert {passage.caller_id for passage in index.find()} == found.keys()
    assert len(ended) > 5
    print(f"{work}: ended before each of {len(ended) - 1} writes")
