"""The walkthroughs run as they stand; all examples are short, explained, and run by a test."""

import re
import runpy
import sys
from pathlib import Path

import pytest
from faces_support import tiny_cross_encoder

ROOT = Path(__file__).parents[2]
NAMES = sorted(path.stem for path in (ROOT / "examples").glob("*.py"))
BOX = r"Box\(left=0\.\d+, top=0\.\d+, right=0\.\d+, bottom=0\.\d+\)"


@pytest.fixture
def run(monkeypatch, capsys):
    def printed(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(ROOT / "examples" / f"{name}.py"), run_name="__main__")
        return capsys.readouterr().out

    return printed


def steps(line):
    """Rows read, numbers, multiply-adds and recall of a row of the table."""
    *_, rows, numbers, products, _, recall = line.split()
    return *(int(number.replace(",", "")) for number in (rows, numbers, products)), float(recall)


def test_dual_mode_keeps_two_sides_and_finds_a_page_without_words(run):
    told = run("dual_mode_walkthrough")
    _, views, matched, read, quoted, seen = re.split(r"^\d\. ", told, flags=re.MULTILINE)
    assert "Please do the following on every affected set" in views and "the image of its page" in views
    assert "loop" in matched and "leg bm25: rank 1" in matched and "leg image" in matched
    assert "untrusted text" in read and "at the\nlatest by 30 September 2019" in read and "[?" in read
    assert re.search(rf"page 1 of letter.jpg, \({BOX},\), confidence 0\.\d\d", quoted)
    text, image = seen.strip().splitlines()[1:]
    assert text.startswith("   by dense and bm25: 'TORNVIK PUMPWORKS")
    assert image == "   by image: '[drawing.png, page 1: a picture without readable text]'"


def test_a_funnel_reads_little_and_finds_nearly_all(run):
    told = run("funnel_walkthrough")
    assert told.startswith("MADE-UP vectors, 50 queries")
    rows = [steps(line) for line in told.splitlines() if line.startswith((" ", "    ")) and "," in line]
    plain, rotated, few = (rows[start : start + 4] for start in (0, 4, 8))
    for (*stages, exact), count in ((plain, 39_950), (rotated, 39_950), (few, 1000)):
        assert exact == (count, 384, count * 384, 1.0)
        assert [stage[:3] for stage in stages] == [
            (count, 24, count * 24),
            (160, 96, 15_360),
            (40, 384, 15_360),
        ]
    assert 0.97 < rotated[2][3] <= 1.0 and plain[2][3] < rotated[2][3]


def test_two_encodings_against_one_pair(run, tmp_path):
    folder = tiny_cross_encoder(tmp_path, ["pump", "water", "the"])
    told = run("bi_vs_cross", folder)
    assert "30 sentences: 30 encodings took" in told and "435 pairs took" in told
    assert f"most alike by {tmp_path.name}" in told and "of the 20 pairs with the highest cosine" in told
    best = told.split("most alike by all-MiniLM-L6-v2")[1].splitlines()[1:3]
    assert [line.strip() for line in best] == [
        "Let the pump cool down before opening the drain screw.",
        "The suction pipe must rise steadily towards the pump.",
    ]
    hours = [float(hour) for hour in re.findall(r"([\d.]+) hours", told)]
    assert "49,995,000 pairs" in told and len(hours) == 3 and hours[0] <= hours[2] < hours[1]


def test_a_cross_encoder_made_on_the_spot_says_that_it_says_nothing(run):
    told = run("bi_vs_cross")
    assert "a cross-encoder with RANDOM weights, which says nothing" in told


def test_a_small_model_learns_the_jargon_of_a_works_at_every_width(run):
    told = run("train_your_domain").splitlines()
    assert told[0].startswith("48 pairs to learn from, 16 to measure by")
    rows = [[float(number) for number in line.split()] for line in told[2:8]]
    assert [width for width, *_ in rows] == [384, 192, 96, 48, 24, 12]
    assert all(after > before + 0.1 for _, before, after in rows)
    assert told[8].startswith("pipeline") and float(told[8].split()[2]) > float(told[8].split()[1])
    assert told[9].startswith("the old lady hums? feed pump P-101.")


def test_examples_are_short_explained_and_run_by_a_test():
    explained = (ROOT / "docs" / "examples.md").read_text(encoding="utf-8")
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    for name in NAMES:
        lines = (ROOT / "examples" / f"{name}.py").read_text(encoding="utf-8").count("\n")
        assert lines < 80, f"{name} has {lines} lines"
        assert f"`{name}.py`" in explained, f"docs/examples.md does not explain {name}"
        assert re.search(rf'"{name}(\.py)?"', tests), f"no test runs {name}"
    for name in set(re.findall(r"`(\w+)\.py`", explained)) - set(NAMES):
        assert (ROOT / "examples" / "documents" / f"{name}.py").is_file(), (
            f"{name} is explained and is not there"
        )
