from dataclasses import replace

import pytest
from page_support import ColourEncoder, picture

from rag_plugins import Config, RagIndex
from rag_plugins.config import Bm25Leg, ImageLeg
from rag_plugins.faces.renewing import renewed
from rag_plugins.types import Box, EmbedImage, EmbedText, Provenance, Word


@pytest.fixture
def index(tmp_path):
    config = Config(legs=(Bm25Leg(), ImageLeg(model="colours")), rerank=())
    with RagIndex.open(tmp_path / "pages.db", config=config, encoders={"image": ColourEncoder()}) as index:
        yield index


def test_a_page_keeps_its_image_and_its_words_while_its_text_is_the_same(index):
    origin = Provenance("a.pdf", 3, (Word(0, 5, 0, Box(0.0, 0.0, 0.5, 0.1), 0.9),), start=7)
    made = index.passage("Pumps", image=picture("red"), doc_id="a.pdf", metadata={"n": 1})
    page = replace(made, provenance=origin)
    index.add([page])
    cited = {"source": "a.pdf", "page": 3, "confidence": 0.9, "boxes": [[0.0, 0.0, 0.5, 0.1]]}

    def back(text, metadata):
        return index.passage(text, caller_id=page.id, doc_id="other", metadata=metadata)

    assert renewed(index, [back("Pumps", {**cited, "n": 1})]) == [page]
    [changed] = renewed(index, [back("Valves", {**cited, "n": 2, "page": 4})])
    assert (changed.id, changed.doc_id, changed.caller_id) == (page.id, "a.pdf", None)
    assert changed.metadata == {"n": 2, "page": 4}
    assert changed.views == (EmbedText("Valves"), page.views[1])
    assert changed.provenance == Provenance("a.pdf", 3)


def test_a_picture_without_text_stays_one(index):
    page = index.passage("[a picture]", view="", image=picture("blue"))
    index.add([page])

    [same] = renewed(index, [index.passage("[a picture]", view="", caller_id=page.id)])
    assert [type(view) for view in same.views] == [EmbedImage]


def test_passages_with_ids_of_the_caller_stay_as_they_are(index):
    index.add([index.passage("Pumps", caller_id="pump"), index.passage("Valves", caller_id="0" * 64)])
    given = [index.passage("x", caller_id=id) for id in ("pump", "0" * 64, "f" * 64)] + [index.passage("y")]

    assert renewed(index, given) == given
