"""What Milvus Lite does with a damaged database when nobody compares: it loses rows and says nothing."""

import pytest
from faults_support_damage import (
    as_killed,
    corrupt_manifest,
    corrupt_manifests,
    flip_bit_in_log,
    flip_bit_in_segment,
    remove_deletions,
    remove_manifests,
    remove_segment,
    rows_on_disk,
    truncate_log,
)
from milvus_lite.server_manager import server_manager_instance
from pymilvus import DataType, MilvusClient, MilvusException

A, B, C = ([f"{letter}{n}" for n in range(50)] for letter in "abc")


def vector(n):
    return [float(n + 1), 0.5]


class Lite:
    """A collection of Lite, without anything of ours around it."""

    def __init__(self, path):
        self.path = path
        self.client = MilvusClient(str(path), dedicated=True)
        if not self.client.has_collection("passages"):
            schema = self.client.create_schema()
            schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=64)
            schema.add_field("dense", DataType.FLOAT_VECTOR, dim=2)
            self.client.create_collection("passages", schema=schema)
        self.client.load_collection("passages")

    def upsert(self, ids, *, flush=True):
        for start in range(0, len(ids), 10):
            rows = [{"id": id, "dense": vector(n)} for n, id in enumerate(ids[start : start + 10], start)]
            self.client.upsert("passages", rows)
        if flush:
            self.client.flush("passages")

    def rows(self):
        found = self.client.query("passages", filter='id != ""', output_fields=["id", "dense"], limit=1000)
        return {row["id"]: list(map(float, row["dense"])) for row in found}

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.client.close()
        server_manager_instance.release_server(str(self.path))


@pytest.fixture
def database(tmp_path):
    """Two segments, of which the second replaces five rows of the first, and five deletions."""
    path = tmp_path / "lite.db"
    with Lite(path) as lite:
        lite.upsert(A)
        lite.upsert(B + A[:5])
        lite.client.delete("passages", filter=f"id in {A[45:]}")
        lite.client.flush("passages")
    return path


@pytest.mark.parametrize(
    ("damage", "lost", "older", "revived"),
    [
        (remove_segment, 50, 5, 0),
        (remove_deletions, 0, 0, 5),
        (corrupt_manifest, 0, 0, 5),
        (remove_manifests, 95, 0, 0),
    ],
)
def test_lite_opens_a_damaged_database_and_says_nothing(database, damage, lost, older, revived):
    before = set(rows_on_disk(database))
    harm = damage(database)
    assert (len(harm.lost), len(harm.older), len(harm.revived)) == (lost, older, revived)
    with Lite(database) as lite:
        after = lite.rows()
    assert before - set(after) == harm.lost and set(after) - before == harm.revived
    assert all(after[id] == vector(A.index(id)) for id in harm.older)


def test_a_manifest_of_before_takes_the_rows_written_since(tmp_path):
    with Lite(tmp_path / "lite.db") as lite:
        lite.upsert(A)
        lite.upsert(B)
    harm = corrupt_manifest(tmp_path / "lite.db")
    assert harm.lost == set(B) and not harm.older
    with Lite(tmp_path / "lite.db") as lite:
        assert set(lite.rows()) == set(A)


def test_rows_of_a_truncated_log_are_gone_without_a_word(tmp_path):
    with Lite(tmp_path / "lite.db") as lite:
        lite.upsert(A)
        lite.upsert(C, flush=False)
        killed = as_killed(tmp_path / "lite.db", tmp_path / "killed.db")
    harm = truncate_log(killed)
    assert 10 <= len(harm.lost) < 50 and harm.lost < set(C)
    with Lite(killed) as lite:
        assert set(lite.rows()) == set(A + C) - harm.lost


def test_a_flipped_bit_is_another_vector_without_a_word(tmp_path):
    with Lite(tmp_path / "lite.db") as lite:
        lite.upsert(A)
        lite.upsert(C, flush=False)
        killed = as_killed(tmp_path / "lite.db", tmp_path / "killed.db")
    flip_bit_in_log(killed, "dense", "c7")
    flip_bit_in_segment(killed, "dense", "a7")
    with Lite(killed) as lite:
        rows = lite.rows()
    assert rows["a8"] == vector(8) and rows["c8"] == vector(8)
    for id in ("a7", "c7"):
        assert rows[id] != vector(7) and rows[id][1] == 0.5


def test_lite_refuses_a_collection_whose_manifests_cannot_be_read(database):
    corrupt_manifests(database)
    with pytest.raises(MilvusException), Lite(database):
        pass
