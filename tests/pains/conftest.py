"""An index for each of both faces, on a file and on a server."""

from functools import partial

import pytest
from both_faces import FACES
from faces_support import tiny_cross_encoder

from rag_plugins import RagIndex


@pytest.fixture(params=FACES.values(), ids=FACES)
def face(request):
    """LangChain's and LlamaIndex' in turn."""
    return request.param


@pytest.fixture
def reopen(milvus_uri, collection):
    return partial(RagIndex.open, milvus_uri, collection=collection)


@pytest.fixture
def index(reopen):
    """BM25 alone, on a file and on a server."""
    with reopen(preset="lexical") as index:
        yield index


WORDS = ["pump", "valve", "red", "the", "of"]


@pytest.fixture(scope="module")
def cross_encoder(tmp_path_factory):
    """A tiny one that reads 512 tokens; each of `WORDS` is one."""
    return tiny_cross_encoder(tmp_path_factory.mktemp("cross-encoder"), WORDS)


@pytest.fixture
def found(face, tmp_path):
    """A passage of 1,800 words that all are of the vocabulary, and a short one, as a search gives them."""
    with RagIndex.open(tmp_path / "found.db", preset="lexical") as index:
        face.add(index, [face.item("long", "pump valve the " * 600), face.item("short", "the red pump")])
        yield face.retrieved(index, "red pump")


@pytest.fixture
def watched_outputs():
    """`watched_outputs(kind)`: the sizes of what every call of modules of this class gives, as they come."""
    from torch.nn.modules.module import register_module_forward_hook

    hooks = []

    def watch(kind, size):
        sizes = []
        hook = register_module_forward_hook(
            lambda module, _, output: sizes.append(size(output)) if isinstance(module, kind) else None
        )
        hooks.append(hook)
        return sizes

    yield watch
    for hook in hooks:
        hook.remove()
