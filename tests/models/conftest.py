"""One tiny model of each kind for all tests of this folder."""

from pathlib import Path

import pytest
from tiny_models import save_bert, save_m3


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory) -> Path:
    return save_bert(tmp_path_factory.mktemp("tiny-bert"))


@pytest.fixture(scope="session")
def tiny_cross_encoder(tmp_path_factory) -> Path:
    return save_bert(tmp_path_factory.mktemp("tiny-cross-encoder"), labels=1)


@pytest.fixture(scope="session")
def three_label_model(tmp_path_factory) -> Path:
    return save_bert(tmp_path_factory.mktemp("three-labels"), labels=3)


@pytest.fixture(scope="session")
def tiny_m3(tmp_path_factory) -> Path:
    return save_m3(tmp_path_factory.mktemp("tiny-m3"))
