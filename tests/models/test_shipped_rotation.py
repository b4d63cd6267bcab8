"""The rotation that the package carries: orthonormal, better than none, and written into fingerprints."""

import numpy as np
import pytest

from rag_plugins.config import DenseLeg
from rag_plugins.errors import ConfigError
from rag_plugins.models.dense import DenseEncoder
from rag_plugins.models.protocols import RotatedModel
from rag_plugins.models.shipped import FOLDER, shipped_rotation
from rag_plugins.types import EmbedText
from rag_plugins.vectors import normalise

NAME = "all-MiniLM-L6-v2-rotation"
PASSAGES = [
    "The filter of the pump is changed every month.",
    "Close the red valve before the boiler is opened.",
    "A passport is renewed at the consulate with two photographs.",
    "Visa applications are answered within three weeks.",
    "The blackbird sings from the top of the tree at dawn.",
    "Swallows leave for Africa in September.",
    "Knead the dough for ten minutes and let it rise.",
    "Boil the pasta in salted water until it is firm.",
    "Interest rates were raised by the central bank.",
    "The tax on income is due at the end of May.",
    "Aspirin thins the blood and lowers fever.",
    "A fracture of the wrist heals in six weeks.",
    "List the files of a folder, hidden ones too.",
    "Copy a directory to a remote machine over ssh.",
    "The treaty ended a war of thirty years.",
    "The king was crowned in the cathedral in 1483.",
]
QUERIES = [
    "how often is the filter changed?",
    "what do I need for a new passport",
    "which birds migrate",
    "bake bread",
    "when must taxes be paid",
    "broken bone",
    "show all files in a directory",
    "coronation",
]


@pytest.fixture(scope="module")
def columns():
    return shipped_rotation(NAME).rotation.columns


@pytest.fixture(scope="module")
def vectors():
    """Queries and passages, whole."""
    encoder = DenseEncoder(DenseLeg())
    views = [EmbedText(text) for text in PASSAGES]
    return encoder.encode_queries(QUERIES).dense, encoder.encode_documents(views).dense


def test_it_is_orthonormal_and_keeps_every_inner_product(columns, vectors):
    assert columns.shape == (384, 384) and columns.dtype == np.float32
    assert np.abs(columns.T @ columns - np.eye(384)).max() < 1e-3
    queries, passages = vectors
    assert (queries @ columns) @ (passages @ columns).T == pytest.approx(queries @ passages.T, abs=1e-3)


def test_it_is_small_and_has_a_card():
    file = FOLDER / NAME / "model.safetensors"
    assert file.stat().st_size < 2_000_000
    card = (FOLDER / NAME / "README.md").read_text(encoding="utf-8")
    for told in (
        "license: apache-2.0",
        "CC BY 4.0",
        "rag_plugins.training.recipes.rotation",
        "shipped rotation | 0.",
    ):
        assert told in card


@pytest.mark.parametrize("width", [24, 48, 96])
def test_rotated_prefixes_rank_more_as_whole_vectors_do(columns, vectors, width):
    queries, passages = vectors
    whole = (queries @ passages.T).ravel()

    def agreement(turn):
        prefixes = (normalise((matrix @ turn)[:, :width]) for matrix in vectors)
        near, far = prefixes
        return np.corrcoef((near @ far.T).ravel(), whole)[0, 1]

    assert agreement(columns) > agreement(np.eye(384)) + 0.02


@pytest.mark.parametrize("width", [12, 96, 100, 383])
def test_any_narrower_width_is_rotated_then_cut(columns, vectors, width):
    encoder = DenseEncoder(DenseLeg(store_width=width))
    assert (encoder.dim, encoder.matryoshka) == (width, ())
    expected = normalise((vectors[0] @ columns)[:, :width])
    assert encoder.encode_queries(QUERIES).dense == pytest.approx(expected, abs=1e-5)
    passages = encoder.encode_documents([EmbedText(text) for text in PASSAGES]).dense
    assert passages == pytest.approx(normalise((vectors[1] @ columns)[:, :width]), abs=1e-5)


def test_a_fingerprint_names_the_rotation_of_what_was_cut_with_it_alone():
    whole, cut = DenseEncoder(DenseLeg()), DenseEncoder(DenseLeg(store_width=96))
    declared = DenseEncoder(DenseLeg(store_width=96, matryoshka=(96,)))
    name = cut.fingerprint["rotation"]
    assert name == shipped_rotation(NAME).name and name.startswith(f"{NAME} ")
    assert cut.fingerprint == {**whole.fingerprint, "dim": 96, "rotation": name}
    assert "rotation" not in whole.fingerprint
    assert "rotation" not in DenseEncoder(DenseLeg(store_width=384)).fingerprint
    assert declared.fingerprint == {**whole.fingerprint, "dim": 96}


def test_who_declares_widths_has_them_unrotated(vectors):
    declared = DenseEncoder(DenseLeg(store_width=96, matryoshka=(96, 192)))
    assert declared.encode_queries(QUERIES).dense == pytest.approx(normalise(vectors[0][:, :96]), abs=1e-5)


def test_a_collection_of_whole_vectors_can_have_it_for_its_funnel():
    whole = DenseEncoder(DenseLeg())
    assert isinstance(whole, RotatedModel)
    assert whole.rotation is shipped_rotation(NAME)
    # What is cut already, or was trained for prefixes, needs none.
    assert DenseEncoder(DenseLeg(store_width=96)).rotation is None
    assert DenseEncoder(DenseLeg(matryoshka=(96, 192))).rotation is None
    assert DenseEncoder(DenseLeg(model="bge-small-en-v1.5")).rotation is None


def test_no_width_is_wider_than_the_model():
    with pytest.raises(ConfigError, match="width 400: all-MiniLM-L6-v2 gives 384"):
        DenseEncoder(DenseLeg(store_width=400))
