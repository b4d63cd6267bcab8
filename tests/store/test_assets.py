"""Originals by content id."""

import hashlib

import pytest

from rag_plugins.errors import BadInput, StoreError
from rag_plugins.store.assets import AssetStore

PNG = b"\x89PNG\r\n\x1a\n rest"


@pytest.fixture
def assets(tmp_path):
    return AssetStore(tmp_path / "not" / "yet" / "there")


def files(assets):
    return sorted(path for path in assets.folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("data", "suffix"),
    [
        (PNG, ".png"),
        (b"\xff\xd8\xff\xe0 jpeg", ".jpg"),
        (b"RIFF....WEBPVP8 ", ".webp"),
        (b"II*\0 tiff", ".tif"),
        (b"GIF89a", ".gif"),
        (b"anything", ".bin"),
        (b"", ".bin"),
    ],
)
def test_bytes_come_back_by_their_sha256(assets, data, suffix):
    asset = assets.put(data)
    assert asset == hashlib.sha256(data).hexdigest()
    assert assets.get(asset) == data
    assert files(assets) == [assets.folder / asset[:2] / (asset + suffix)]


def test_putting_twice_keeps_one_file(assets):
    assert assets.put(PNG) == assets.put(PNG)
    assert len(files(assets)) == 1


@pytest.mark.parametrize("asset", ["", "../../etc/passwd", "A" * 64, "a" * 63, "a" * 64 + "\n", "*" * 64])
def test_what_is_no_id_is_refused(assets, asset):
    with pytest.raises(BadInput, match="expected 64 hex digits"):
        assets.get(asset)


def test_an_absent_asset_is_an_error(assets):
    with pytest.raises(StoreError, match="is not in"):
        assets.get("a" * 64)


def test_a_damaged_asset_is_an_error_and_a_cut_one_is_written_again(assets):
    asset = assets.put(PNG)
    (path,) = files(assets)
    path.write_bytes(PNG[:-1] + b"!")
    with pytest.raises(StoreError, match="is damaged"):
        assets.get(asset)
    path.write_bytes(PNG[:4])
    assets.put(PNG)
    assert assets.get(asset) == PNG


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="writing an asset of 3 bytes"):
        AssetStore(tmp_path / "file").put(b"abc")
