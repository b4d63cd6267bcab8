"""The Chinese README says what the English one does: code, headings, tables, lists, links and figures."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAIR = [(ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh.md")]
FENCED = re.compile(r"^```.*?^```$", flags=re.DOTALL | re.MULTILINE)


def code(text):
    return FENCED.findall(text)


def levels(text):
    return re.findall(r"^#+(?= )", FENCED.sub("", text), flags=re.MULTILINE)


def shape(text):
    """The first cell's code of each table row, its count of cells, and list items, in order."""
    lines = re.findall(r"^(?:\|.*\||- .*)$", FENCED.sub("", text), flags=re.MULTILINE)
    return [(line[0], line.count("|")) for line in lines]


def links(text):
    return sorted(set(re.findall(r"\]\(([^)]+)\)", text)) - {"README.md", "README.zh.md"})


def spans(text):
    """Names of the API, commands and settings: what stands between backticks, and how often."""
    return sorted(re.findall(r"`([^`\n]+)`", FENCED.sub("", text)))


def figures(text):
    """Decimal and large numbers, as the prose and the tables give them."""
    return sorted(
        re.findall(r"(?<![\w.])(?:\d*\.\d+|\d{1,3}(?:,\d{3})+|\d{2,})(?![\d])", FENCED.sub("", text))
    )


@pytest.mark.parametrize("part", [code, levels, shape, links, spans, figures], ids=lambda part: part.__name__)
def test_both_have_the_same(part):
    english, chinese = map(part, PAIR)
    assert english
    assert chinese == english


def test_each_links_to_the_other_at_the_top():
    english, chinese = PAIR
    assert "](README.zh.md)" in english[:200]
    assert "](README.md)" in chinese[:200]


def test_it_is_chinese_throughout():
    """No paragraph was left in English."""
    prose = FENCED.sub("", PAIR[1]).split("\n\n")
    letters = [re.sub(r"`[^`]*`|\([^)]*\)|\*\*", "", each) for each in prose]
    assert [each for each in letters if len(each) > 60 and not re.search(r"[\u4e00-\u9fff]", each)] == []
