"""`rag-plugins doctor` on a collection that has come to harm: what it says, what it mends, when it fails."""

import json

import pytest
from faults_support_damage import flip_bit_in_segment, remove_manifests

from rag_plugins import RagIndex
from rag_plugins.cli import main
from rag_plugins.types import passage_id

TEXTS = {
    "pump": "The coolant pump is bolted to the frame.",
    "filter": "Change the dust filter every 500 hours.",
}


@pytest.fixture
def db(tmp_path):
    return tmp_path / "handbook.db"


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "docs"
    folder.mkdir()
    for name, text in TEXTS.items():
        (folder / f"{name}.md").write_text(text)
    return folder


@pytest.fixture
def doctor(db, capsys, monkeypatch):
    """Runs the command at 80 columns: exit code, words shown, what its JSON says of the health."""
    monkeypatch.setenv("COLUMNS", "80")

    def run(*options):
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit:
            main(["doctor", str(db), "--preset", "lexical", "--json", *options])
        *shown, values = capsys.readouterr().out.splitlines()
        assert all(len(line) <= 80 for line in shown)
        return int(exit.value.code or 0), " ".join(" ".join(shown).split()), json.loads(values)["health"]

    return run


def opened(db):
    return RagIndex.open(db, preset="lexical")


def test_a_sound_collection_and_where_its_time_goes(doctor, db, folder):
    with opened(db) as index:
        index.ingest([folder])
    code, shown, health = doctor("--load")
    assert code == 0 and health["sound"] and health["audit"]["passages"] == 2
    assert "texts, vectors and images are as they were stored" in shown
    assert set(health["files"]) >= {"handbook.db", "handbook.db.manifest"}
    assert health["milliseconds"]["bm25"] > 0 and "slowest first" in shown


def test_lost_documents_are_named_and_ingested_again(doctor, db, folder):
    with opened(db) as index:
        index.ingest([folder])
    remove_manifests(db)
    code, shown, health = doctor()
    assert code == 1 and not health["sound"]
    assert health["audit"]["lost"] == {str(folder / f"{name}.md"): 1 for name in TEXTS}
    assert "--repair" in shown
    code, shown, health = doctor("--repair")
    assert code == 0 and health["sound"] and len(health["repair"]["ingested"]) == 2
    with opened(db) as index:
        assert {passage.llm_text for passage in index.find()} == set(TEXTS.values())
    assert doctor()[0] == 0


def test_what_cannot_be_brought_back_fails_until_it_is_given_up(doctor, db):
    with opened(db) as index:
        index.add([index.passage(text, doc_id=name) for name, text in TEXTS.items()])
    remove_manifests(db)
    code, shown, health = doctor("--repair")
    assert code == 1 and health["repair"]["left"].keys() == TEXTS.keys()
    assert "not ingested from a file" in shown and "--forget" in shown
    code, _, health = doctor("--forget")
    assert code == 0 and health["repair"]["forgotten"] == 2
    opened(db).close()


def test_vectors_are_made_again_of_the_texts(db, capsys):
    with RagIndex.open(db) as index:
        index.add([index.passage(text, doc_id=name, caller_id=name) for name, text in TEXTS.items()])
    flip_bit_in_segment(db, "dense", passage_id("", caller_id="pump"))
    for options, code in (([], 1), (["--repair"], 0), ([], 0)):
        with pytest.raises(SystemExit) as exit:
            main(["doctor", str(db), *options])
        assert int(exit.value.code or 0) == code
    assert "1 passages have other vectors than were stored: pump (1)" in " ".join(
        capsys.readouterr().out.split()
    )


def test_a_repair_wants_a_database(capsys):
    with pytest.raises(SystemExit) as exit:
        main(["doctor", "--repair"])
    assert exit.value.code == 2 and "name the database" in capsys.readouterr().err
