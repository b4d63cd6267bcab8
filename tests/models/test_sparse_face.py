import pytest

from rag_plugins.faces.sparse import LearnedSparse
from rag_plugins.models.m3 import M3Encoder
from rag_plugins.models.protocols import SPARSE
from rag_plugins.types import EmbedText


def test_lexical_weights_of_a_bge_m3(tiny_m3):
    path, text = str(tiny_m3), "the red pump is red"
    encoder = M3Encoder(path)
    query = encoder.encode_queries([text], SPARSE).sparse[0].as_dict()
    document = encoder.encode_documents([EmbedText(text)], SPARSE).sparse[0].as_dict()
    assert len(query) >= 2
    face = LearnedSparse(path, None)
    assert face.queries([text]) == [query]
    assert face.documents([text, text]) == [pytest.approx(document), pytest.approx(document)]
    assert face.documents([]) == face.queries([]) == []
    assert LearnedSparse(path, None, query_terms=1).queries([text]) == [
        dict([max(query.items(), key=lambda item: item[1])])
    ]
