"""Damage to a closed database file of Milvus Lite, each with what it takes: see `Harm`.

A database is a folder, a collection one below it:

    handbook.db/collections/passages/manifest.json, manifest.json.prev    which files count
    handbook.db/collections/passages/partitions/_default/data/*.parquet   rows, in segments
    handbook.db/collections/passages/partitions/_default/delta/*.parquet  keys of deleted rows
    handbook.db/collections/passages/wal/wal_data_*.arrow                 rows not yet in a segment

A database that was closed has no log: `as_killed` makes one that has.
"""

import json
import shutil
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from rag_plugins.errors import StoreError


@dataclass(frozen=True)
class Harm:
    """Keys whose rows are gone, are there as they were before, or are there again although deleted."""

    lost: frozenset = frozenset()
    older: frozenset = frozenset()
    revived: frozenset = frozenset()

    @property
    def all(self):
        return self.lost | self.older | self.revived


def as_killed(database, target):
    """What a kill -9 of whoever has the database open would leave behind, as another database."""
    shutil.copytree(database, target, ignore=shutil.ignore_patterns("LOCK"))
    for beside in database.parent.glob(f"{database.name}.*"):
        copy = shutil.copytree if beside.is_dir() else shutil.copyfile
        copy(beside, target.with_name(target.name + beside.name.removeprefix(database.name)))
    return target


def remove_segment(database, collection="passages", number=-1):
    """A file of rows that the manifest names is gone, by default the newest one."""
    return _harmed(database, collection, lambda folder: _segments(folder)[number].unlink())


def remove_deletions(database, collection="passages", number=-1):
    """A file of deletions that the manifest names is gone."""
    return _harmed(database, collection, lambda folder: _deletions(folder)[number].unlink())


def corrupt_manifest(database, collection="passages"):
    """The manifest cannot be read: Lite goes back to the one before, and removes what that does not name."""
    return _harmed(database, collection, lambda folder: (folder / "manifest.json").write_bytes(b"\0" * 64))


def remove_manifests(database, collection="passages"):
    """No manifest at all: Lite begins with an empty one, and removes every file of rows."""

    def remove(folder):
        for path in folder.glob("manifest.json*"):
            path.unlink()

    return _harmed(database, collection, remove)


def corrupt_manifests(database, collection="passages"):
    """Neither the manifest nor the one before can be read."""
    for path in _folder(database, collection).glob("manifest.json*"):
        path.write_bytes(b"\0" * 64)


def truncate_log(database, collection="passages", share=0.5):
    """The log of rows ends in the middle."""

    def truncate(folder):
        for path in folder.glob("wal/wal_data_*.arrow"):
            data = path.read_bytes()
            path.write_bytes(data[: int(share * len(data))])

    return _harmed(database, collection, truncate)


def flip_bit_in_log(database, field, key, collection="passages"):
    """One bit of a dense vector in the log: the highest of its first number's exponent."""
    folder = _folder(database, collection)
    for path in folder.glob("wal/wal_data_*.arrow"):
        data = bytearray(path.read_bytes())
        for row in _logged(path):
            if row["id"] == key:
                vector = pa.array(row[field], pa.float32()).buffers()[1].to_pybytes()
                data[data.index(vector) + 3] ^= 0x40
                path.write_bytes(data)
                return
    raise KeyError(key)


def flip_bit_in_segment(database, field, key, collection="passages"):
    """The same in a segment, which is written anew around it: its own compression would show the bit."""
    for path in _segments(_folder(database, collection)):
        table = pq.read_table(path)
        keys = table.column("id").to_pylist()
        if key not in keys:
            continue
        vectors = table.column(field).to_pylist()
        number = len(keys) - 1 - keys[::-1].index(key)  # The newest of its rows.
        raw = bytearray(pa.array(vectors[number], pa.float32()).buffers()[1].to_pybytes())
        raw[3] ^= 0x40
        vectors[number] = memoryview(raw).cast("f").tolist()
        place = table.schema.get_field_index(field)
        altered = pa.array(vectors, table.schema.field(place).type)
        pq.write_table(table.set_column(place, table.schema.field(place), altered), path)
        return
    raise KeyError(key)


def rows_on_disk(database, collection="passages"):
    """{key: number of its last write} of what a reader of these files finds."""
    folder = _folder(database, collection)
    rows, deleted = {}, {}
    for path in _segments(folder):
        if path.exists():
            _newest(rows, pq.read_table(path, columns=["id", "_seq"]).to_pylist())
    for path in _deletions(folder):
        if path.exists():
            _newest(deleted, pq.read_table(path).to_pylist())
    for path in folder.glob("wal/wal_data_*.arrow"):
        _newest(rows, _logged(path))
    for path in folder.glob("wal/wal_delta_*.arrow"):
        _newest(deleted, _logged(path))
    return {key: written for key, written in rows.items() if written > deleted.get(key, -1)}


def _harmed(database, collection, damage):
    before = rows_on_disk(database, collection)
    damage(_folder(database, collection))
    after = rows_on_disk(database, collection)
    older = {key for key in before.keys() & after.keys() if before[key] != after[key]}
    lost, revived = before.keys() - after.keys(), after.keys() - before.keys()
    return Harm(frozenset(lost), frozenset(older), frozenset(revived))


def _folder(database, collection):
    folder = database / "collections" / collection
    if not folder.is_dir():
        raise StoreError(f"{folder} is not there: its layout is another than that of Milvus Lite 3.2")
    return folder


def _segments(folder):
    return _listed(folder, "data_files")


def _deletions(folder):
    return _listed(folder, "delta_files")


def _listed(folder, kind):
    """Files in the order they were written, as the manifest that Lite would go by names them."""
    return [
        folder / "partitions" / partition / name
        for partition, files in _manifest(folder).get("partitions", {}).items()
        for name in files[kind]
    ]


def _manifest(folder):
    for name in ("manifest.json", "manifest.json.prev"):
        try:
            return json.loads((folder / name).read_text())
        except (OSError, ValueError):
            continue
    return {}


def _logged(path):
    """Rows of a log up to where it can be read, as Lite reads them."""
    rows = []
    try:
        with pa.OSFile(str(path)) as source, pa.ipc.open_stream(source) as reader:
            for batch in reader:
                rows += batch.to_pylist()
    except (pa.ArrowInvalid, OSError):
        pass
    return rows


def _newest(found, rows):
    for row in rows:
        found[row["id"]] = max(found.get(row["id"], -1), row["_seq"])
