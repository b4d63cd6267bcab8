"""The recipes run as they stand, and show what they say."""

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def run(capsys):
    def printed(name):
        runpy.run_path(str(EXAMPLES / f"{name}.py"))
        return capsys.readouterr().out

    return printed


def test_small_to_big(run):
    found, sections = run("small_to_big").split("sections:\n")
    assert found.count("filters: ") == 3 and "filters: The dust filter is washed every 500 hours." in found
    assert sections.count("Two filters keep the unit clean.") == 1 and len(sections.splitlines()) == 2


def test_one_collection_many_tenants(run):
    told = run("tenants")
    assert "north: 2 passages, found ['The boiler of the north plant is drained in May.']" in told
    assert "asks for the other's: []" in told and "asks for note-1: []" in told
    assert told.endswith("south deletes notes: 1 passage; north still has 2\n")


def test_documents_that_change(run):
    told = run("updating").splitlines()
    assert told[0].endswith("found ['The filter is changed every 500 hours.']")
    assert told[1].startswith("second run, 1 replaced, 1 unchanged: 2 passages") and "250" in told[1]
    assert told[2] == "deleted: {'filter.txt': 1}" and "lamp" in told[3]
    assert "2 passages, found ['The filter is changed daily.']" in told[4]
    assert told[5] == "removed: 1 passage, 1 left"


def test_hybrid_over_existing_nodes(run):
    fuse, screws = run("existing_nodes").split("how tight")
    assert "Part AX-4401 is the fuse of the display." in fuse and "bm25 #1" in fuse
    assert "node 2, of handbook and after it comes True" in fuse
    assert "The screws of the motor flange are tightened to 12 Nm" in screws and "dense #1" in screws
    assert "node 3, of handbook and after it comes False" in screws
