"""A set of printed pages, made here and really recognised; by keywords alone, so that no model is loaded."""

import json

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from rag_plugins.config import Bm25Leg, Config, ImageLeg, RobustLeg
from rag_plugins.errors import BadDocument, BadInput
from rag_plugins.evaluation.ceiling import evaluate_ceiling
from rag_plugins.evaluation.ceiling.levels import Ceiling, Found, Level
from rag_plugins.evaluation.ceiling.noise import Confusions
from rag_plugins.evaluation.ceiling.pages import read_documents
from rag_plugins.evaluation.plots import plot_ceiling
from rag_plugins.models.visual.foreign import ForeignImageEncoder

TEXTS = {
    "pump": "The coolant pump is bolted to the frame.\nIts seal costs 11.50 and lasts two years.",
    "filter": "Change the dust filter every month.\nA new filter costs 3.20 at the store.",
    "fuse": "A blown fuse stops the display.\nThe spare fuse is taped inside the cabinet door.",
}
QUERIES = [
    {"_id": "q1", "text": "coolant pump seal", "answers": ["9.99", "11.50"]},
    {"_id": "q2", "text": "dust filter month", "sentence": "Change the dust filter every month."},
    {"_id": "q3", "text": "blown fuse display"},
]
QRELS = "q1\tpump\t1\nq2\tfilter\t1\nq3\tfuse\t1\n"
LEXICAL = Config(legs=(Bm25Leg(),), rerank=())
CONFUSIONS = Confusions({("l", "1"): 2, ("rn", "m"): 1, (" ", ""): 1})


def jsonl(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def colour_of(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).mean(axis=(0, 1))


def page(text, paper="white"):
    image = Image.new("RGB", (900, 260), paper)
    ImageDraw.Draw(image).multiline_text(
        (30, 40), text, fill="black", font=ImageFont.load_default(32), spacing=16
    )
    return image


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One page is no image, and one is upside down to nobody: its file is broken."""
    path = tmp_path_factory.mktemp("pages")
    (path / "images").mkdir()
    for id, text in TEXTS.items():
        page(text).save(path / "images" / f"{id}.png")
    lines = [
        {"_id": id, "title": "manual", "text": text, "image": f"images/{id}.png"}
        for id, text in TEXTS.items()
    ]
    jsonl(path / "corpus.jsonl", lines)
    jsonl(path / "queries.jsonl", QUERIES)
    (path / "qrels.tsv").write_text(QRELS)
    return path


@pytest.fixture
def texts(tmp_path):
    """A set without images."""
    jsonl(tmp_path / "corpus.jsonl", [{"_id": id, "text": text} for id, text in TEXTS.items()])
    jsonl(tmp_path / "queries.jsonl", QUERIES)
    (tmp_path / "qrels.tsv").write_text(QRELS)
    return tmp_path


class TestReading:
    def test_a_set_of_pages(self, folder):
        documents = read_documents(folder)
        assert documents.pages == TEXTS  # Without the title, which is not on the page.
        assert documents.sources == {f"images/{id}.png": id for id in TEXTS}
        assert documents.answers == {"q1": ("9.99", "11.50"), "q2": ("Change the dust filter every month.",)}
        assert documents.asked == {"q1"}

    def test_a_set_without_images(self, texts):
        documents = read_documents(texts)
        assert (documents.images, documents.pages) == ({}, {}) and documents.tests.corpus == TEXTS

    @pytest.mark.parametrize("image", ["images/absent.png", "../corpus.jsonl", "images"])
    def test_an_image_that_is_no_file_of_the_folder(self, texts, image):
        (texts / "images").mkdir()
        jsonl(texts / "corpus.jsonl", [{"_id": "pump", "text": "x", "image": image}])
        with pytest.raises(BadDocument, match="the image of 'pump' is no file in"):
            read_documents(texts)

    def test_answers_that_are_no_list(self, texts):
        jsonl(texts / "queries.jsonl", [{"_id": "q1", "text": "x", "answers": "11.50"}])
        with pytest.raises(BadDocument, match="answers of 'q1'"):
            read_documents(texts)


@pytest.fixture(scope="module")
def ceiling(folder):
    asked = []

    def llm(prompt, images):
        asked.append((prompt, images))
        return "11.50" if images else "I cannot say"

    found = evaluate_ceiling(folder, LEXICAL, noise=[0.1, 0.4], reader=llm, answer_from=["ocr", "image"])
    return found, asked


class TestPages:
    def test_levels_from_the_true_text_down(self, ceiling):
        found, _ = ceiling
        assert [level.text for level in found.levels] == ["true text", "OCR", "noise 10 %", "noise 40 %"]
        true, ocr, *noisy = found.levels
        assert true.error == 0.0 and ocr.error < 0.05
        assert [level.error for level in noisy] == [pytest.approx(0.1, abs=0.03), pytest.approx(0.4, abs=0.1)]
        assert true.legs["bm25"] == true.plain.fused == 1.0 and ocr.plain.fused == 1.0
        assert set(true.legs) == {"bm25", "robust"}

    def test_plain_is_without_the_robust_leg_that_dual_has(self, ceiling):
        found, _ = ceiling
        assert (found.plain_legs, found.dual_legs) == (("bm25",), ("bm25", "robust"))
        assert all(level.plain.fused == level.legs["bm25"] for level in found.levels)
        assert all(level.dual.fused >= 0.6 for level in found.levels[:3])

    def test_how_well_the_pages_were_read(self, ceiling):
        found, _ = ceiling
        assert found.ocr is not None
        assert (found.ocr.pages, found.ocr.unread, found.bad) == (3, 0, ())
        assert found.ocr.recall_mean > 0.8

    def test_what_the_llm_reads_holds_the_answers(self, ceiling):
        found, _ = ceiling
        true, ocr, *_ = found.levels
        assert (found.answerable, true.plain.answered, true.dual.answered) == (2, 1.0, 1.0)
        assert ocr.plain.answered is not None and ocr.plain.answered >= 0.5

    def test_the_llm_is_asked_what_has_an_answer_and_given_what_was_found(self, ceiling):
        found, asked = ceiling
        (by_text, none), (by_image, images) = asked
        assert "coolant pump seal" in by_text and "coolant pump is bolted" in by_text and not none
        assert "coolant pump is bolted" not in by_image
        assert len(images) == len(set(images)) >= 1 and images[0].startswith((b"\x89PNG", b"RIFF"))
        assert found.replies["ocr"].accuracy == 0.0 and found.replies["image"].accuracy == 1.0

    def test_as_json(self, ceiling):
        found, _ = ceiling
        printed = json.loads(json.dumps(found.to_json()))
        assert printed["levels"][0]["plain"] == {"fused": 1.0, "reranked": None, "answered": 1.0}
        assert set(printed["recovered"]) == {"OCR", "noise 10 %", "noise 40 %"}
        assert printed["answer_from"]["image"] == {"accuracy": 1.0, "questions": 1, "failed": 0}

    def test_the_plot_is_written(self, ceiling, tmp_path):
        found, _ = ceiling
        plot_ceiling(found, tmp_path / "plot.png")
        with Image.open(tmp_path / "plot.png") as plot:
            assert plot.width > 1000
        with pytest.raises(BadInput):
            plot_ceiling(found, tmp_path / "plot.nonsense")


def test_a_page_that_cannot_be_read_is_told_and_the_rest_goes_on(texts):
    (texts / "images").mkdir()
    page(TEXTS["pump"]).save(texts / "images/pump.png")
    (texts / "images/filter.png").write_bytes(b"no image")
    lines = [{"_id": id, "text": TEXTS[id], "image": f"images/{id}.png"} for id in ("pump", "filter")]
    jsonl(texts / "corpus.jsonl", lines)
    (texts / "qrels.tsv").write_text("q1\tpump\t1\nq2\tfilter\t1\n")
    found = evaluate_ceiling(texts, LEXICAL, noise=[])
    ((bad), ocr) = found.bad, found.ocr
    assert "filter.png" in str(bad[0]) and ocr is not None and ocr.unread == 1
    assert found.levels[1].plain.fused == 0.5


def test_legs_that_read_images_count_in_dual_mode_where_pages_were_recognised(texts):
    """Pages in a colour each, asked for by colour: no text leg knows of it."""
    colours = {"pump": "red", "filter": "lime", "fuse": "blue"}
    lines = []
    for id, colour in colours.items():
        page(TEXTS[id], colour).save(texts / f"{id}.png")
        lines.append({"_id": id, "text": TEXTS[id], "image": f"{id}.png"})
    jsonl(texts / "corpus.jsonl", lines)
    jsonl(
        texts / "queries.jsonl", [{"_id": f"q{n}", "text": name} for n, name in enumerate(colours.values())]
    )
    (texts / "qrels.tsv").write_text("".join(f"q{n}\t{id}\t1\n" for n, id in enumerate(colours)))

    def of_texts(words):
        return [[0.1 + (word == colour) for colour in colours.values()] for word in words]

    def of_images(paths):
        return [colour_of(path) for path in paths]

    encoder = ForeignImageEncoder("colours", of_texts, of_texts, images=of_images)
    config = LEXICAL.model_copy(update={"legs": (Bm25Leg(), ImageLeg(model="colours"))})
    found = evaluate_ceiling(texts, config, noise=[], encoders={"image": encoder})
    true, ocr = found.levels
    assert found.dual_legs == ("bm25", "image", "robust") and "image" not in true.legs
    assert ocr.legs["image"] == 1.0 and ocr.plain.fused == 0.0 and ocr.dual.fused > 0.6


class TestTexts:
    def test_only_true_and_noisy(self, texts):
        found = evaluate_ceiling(texts, LEXICAL, noise=[0.2], confusions=CONFUSIONS, queries=2)
        assert [level.text for level in found.levels] == ["true text", "noise 20 %"]
        assert (found.ocr, found.replies, found.queries) == (None, {}, 2)

    def test_confusions_are_of_pages_made_of_the_texts(self, texts):
        found = evaluate_ceiling(texts, LEXICAL, noise=[0.3])
        assert found.levels[1].error == pytest.approx(0.3, abs=0.08)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"reader": lambda prompt, images: ""}, "both a reader and"),
            ({"answer_from": ["ocr"]}, "both a reader and"),
            ({"reader": lambda prompt, images: "", "answer_from": ["image"]}, "names no images"),
            ({"noise": [0.7], "confusions": CONFUSIONS}, "from 0 to 0.5"),
        ],
    )
    def test_what_cannot_be_measured_is_refused(self, texts, options, message):
        with pytest.raises(BadInput, match=message):
            evaluate_ceiling(texts, LEXICAL, **options)

    def test_legs_that_read_text_are_needed(self, texts):
        for leg in (RobustLeg(), ImageLeg(model="clip-ViT-B-32")):
            with pytest.raises(BadInput, match="legs that read text"):
                evaluate_ceiling(texts, LEXICAL.model_copy(update={"legs": (leg,)}))

    def test_judged_queries_are_needed(self, texts):
        (texts / "qrels.tsv").write_text("")
        with pytest.raises(BadInput, match="no query has a relevant document"):
            evaluate_ceiling(texts, LEXICAL)


def level(text, plain, dual):
    return Level(text, 0.1, {"bm25": plain}, Found(plain, None, None), Found(dual, None, None))


def test_what_is_recovered_is_a_share_of_what_is_lost():
    levels = level("true text", 0.9, 0.91), level("OCR", 0.7, 0.8), level("noise 5 %", 0.885, 0.9)
    found = Ceiling("set", 3, 3, 0, ("bm25",), ("bm25", "robust"), levels)
    assert found.recovered(levels[1]) == pytest.approx(0.5)
    assert found.recovered(levels[2]) is None  # .015 is no loss to speak of.
