"""Arrays in one file: what comes back is what was saved, or an error."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from rag_plugins.errors import StoreError
from rag_plugins.resident.archive import load, save, sweep

ARRAYS = {
    "matrix": np.arange(12, dtype=np.float32).reshape(3, 4),
    "codes": np.array([[-128, 127]], np.int8),
    "mask": np.array([True, False, True]),
    "none": np.zeros((0, 7), np.float16),
    "rows/0": np.array([2**62], np.int64),
}
META = {"generation": "a", "fields": {"名前": [1, None, True]}}


def same(one, other):
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype and np.array_equal(one[name], other[name]) for name in one
    )


def test_what_comes_back_is_what_was_saved(tmp_path):
    save(tmp_path / "deep" / "a", ARRAYS, META)
    found, meta = load(tmp_path / "deep" / "a")
    assert same(found, ARRAYS)
    assert meta == META
    found["matrix"][0] = 1.0  # It is the reader's own.
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a"]


@settings(max_examples=25)  # Each is written through to the disk.
@given(
    st.dictionaries(
        st.text(max_size=5),
        arrays.arrays(
            st.sampled_from(["<f4", "<f2", "|i1", "<i8", "|b1", "<u4"]), arrays.array_shapes(min_side=0)
        ),
        max_size=3,
    )
)
def test_any_numbers_come_back_bit_by_bit(given_arrays):
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder) / "a", given_arrays, None)
        found, _ = load(Path(folder) / "a")
    assert {name: (array.dtype, array.shape, array.tobytes()) for name, array in found.items()} == {
        name: (array.dtype, array.shape, array.tobytes()) for name, array in given_arrays.items()
    }


def test_columns_of_a_larger_array_are_saved_as_they_are_seen(tmp_path):
    view = np.arange(12).reshape(3, 4)[:, 1::2]
    save(tmp_path / "a", {"view": view}, None)
    assert np.array_equal(load(tmp_path / "a")[0]["view"], view)


def test_every_flipped_byte_is_an_error_or_lies_between_the_arrays(tmp_path):
    save(tmp_path / "a", ARRAYS, META)
    data = (tmp_path / "a").read_bytes()
    refused = 0
    for place in range(len(data)):
        flipped = bytearray(data)
        flipped[place] ^= 0x10
        (tmp_path / "b").write_bytes(flipped)
        try:
            found, meta = load(tmp_path / "b")
            assert same(found, ARRAYS) and meta == META and data[place] == 0
        except StoreError as error:
            assert "it may be deleted" in str(error)
            refused += 1
    assert refused >= sum(array.nbytes for array in ARRAYS.values()) + 100


def test_a_file_cut_short_anywhere_is_an_error(tmp_path):
    save(tmp_path / "a", ARRAYS, META)
    data = (tmp_path / "a").read_bytes()
    for length in range(len(data)):
        (tmp_path / "b").write_bytes(data[:length])
        with pytest.raises(StoreError):
            load(tmp_path / "b")


@pytest.mark.parametrize("data", [b"", b"RAGPLUG0" + b"\0" * 100, b"RAGPLUG1" + b"\xff" * 8, b"\n" * 64])
def test_other_files_and_other_versions_are_an_error(tmp_path, data):
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(StoreError, match="cannot be read"):
        load(tmp_path / "a")
    with pytest.raises(StoreError, match="cannot be read"):
        load(tmp_path / "absent")


def test_objects_are_refused(tmp_path):
    with pytest.raises(StoreError, match="expected numbers or booleans"):
        save(tmp_path / "a", {"objects": np.array([{}])}, None)
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_written_leaves_the_old_file(tmp_path, monkeypatch):
    save(tmp_path / "a", ARRAYS, META)

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("rag_plugins.resident.archive.os.fsync", full)
    with pytest.raises(StoreError, match="No space left"):
        save(tmp_path / "a", {"matrix": np.zeros(1)}, None)
    assert same(load(tmp_path / "a")[0], ARRAYS)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_sweeping_removes_what_was_left_unfinished(tmp_path):
    save(tmp_path / "a", ARRAYS, META)
    (tmp_path / "tmp123.part").write_bytes(b"half")
    sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
