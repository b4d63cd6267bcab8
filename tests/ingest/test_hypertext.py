from __future__ import annotations

import re
import sys
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_plugins.errors import MissingExtra
from rag_plugins.ingest.hypertext import html_text


def text(html: str) -> str:
    return html_text(html, "page.html")[1]


def test_paragraphs_lines_and_spaces():
    html = "<p>One  \n  <em>wo</em>rd,<br>two<p>next<div>a div</div>\n<div>another</div><hr>end"
    assert text(html) == "One word,\ntwo\n\nnext\n\na div\nanother\n\nend"


def test_headings_stand_directly_above_what_they_head():
    assert text("<h1>Pump</h1><p>It runs.</p><h2></h2><h3>Parts</h3><ul><li>seal") == (
        "# Pump\nIt runs.\n\n### Parts\n- seal"
    )


def test_lists_are_indented_and_numbered():
    html = "<ol><li>one<li>two<ul><li><p>inner</p></li><li></li></ul></ol><ul><li>x</ul>after"
    assert text(html) == "1. one\n2. two\n  - inner\n\n- x\nafter"


def test_tables_are_rows_whatever_stands_in_their_cells():
    html = """<table><caption>Stock</caption><thead><tr><th>Part<th>Left<tbody>
      <tr><td><p>AX-<b>4711</b></p><p>pump</p><td><ul><li>12</ul></tr>
      <tr><td>seal</td><td></td></tr></table>below"""
    assert text(html) == "Stock\n| Part | Left |\n| AX-4711 pump | 12 |\n| seal | |\n\nbelow"


def test_tables_that_only_lay_out_a_page_are_no_tables():
    html = """<table><tr><td>menu</td><td><h1>News</h1><p>One.</p><p>Two.</p>
      <table><tr><td>a<td>b</table></td></tr></table><table><tr><td>alone</table>"""
    assert text(html) == "menu\n\n# News\nOne.\n\nTwo.\n\n| a | b |\n\nalone"


def test_preformatted_text_keeps_its_lines():
    assert text("<p>code:</p><pre>def f():\n    return  1\n</pre>") == "code:\n\ndef f():\n    return  1"


def test_what_people_do_not_see_is_not_read():
    html = """<script>alert("no")</script><style>p{}</style><p hidden>no</p><template>no</template>
      <p style="color:red; DISPLAY : none">no <b>no</b></p><!-- no --><noscript>no</noscript>
      <svg><title>no</title><text>no</text></svg><iframe src="file:///etc/passwd">no</iframe>yes"""
    assert text(html) == "yes"


def test_pictures_are_their_alternative_texts():
    assert (
        text('see <img src="http://localhost:1/x.png" alt="a chart"> and <img src="y">')
        == "see [a chart] and"
    )


def test_entities_are_decoded_once():
    assert text("&lt;b&gt; &amp;lt; caf&eacute; &#x4f60;&nbsp;x &nosuch;") == "<b> &lt; café 你 x &nosuch;"


@pytest.mark.parametrize(
    ("html", "title"),
    [
        ("<title> The \n page </title><h1>Else</h1>", "The page"),
        ("<svg><title>no</title></svg><p>x<h2>First <i>one</i></h2><h1>Second</h1>", "First one"),
        ("<p>none", ""),
        ("<title>" + "long " * 500 + "</title>", ("long " * 60)),
    ],
)
def test_the_title_is_the_heads_or_the_first_heading(html: str, title: str):
    assert html_text(html, "x")[0] == title


def test_a_page_without_anything_is_empty():
    assert [text(html) for html in ("", "<!-- x -->", "<html></html>", " \n")] == ["", "", "", ""]


@pytest.mark.parametrize("depth", [300, 3000, 30_000])
def test_nothing_is_lost_however_deep_it_lies(depth: int):
    assert "deep text" in text("<div>" * depth + "deep text" + "</div>" * depth + "after")
    assert "after" in text("<table><tr><td>" * depth + "x" + "</table>" * depth + "after")


@pytest.mark.parametrize(
    "bomb",
    [
        "<table>"
        + "<tr><td>x</td><td>y</td></tr>" * 3000
        + "<tr><td>"
        + "z" * 150_000
        + "</td></tr></table>",
        '<p style="padding-left: 100000000em; margin-before: 9999999em">x',
        "<ul><li>" * 20_000 + "x",
        "<p>" + "<b>x</b>" * 60_000,
        "<p " + " ".join(f"a{number}" for number in range(40_000)) + ">x",
        "<!--" * 100_000,
        "&" * 300_000,
        "<title>" * 60_000,
        "<a href='" * 60_000,
    ],
    ids=["table", "style", "lists", "inline", "attributes", "comments", "entities", "titles", "quotes"],
)
def test_time_and_memory_grow_with_the_page_and_no_faster(bomb: str):
    start = time.process_time()
    tracemalloc.start()
    try:
        text(bomb)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 40 * len(bomb) + 2_000_000
    assert time.process_time() - start < 5


@given(
    st.lists(
        st.sampled_from(
            "<p> </p> <table> </table> <tr> <td> <li> <ul> </ul> <pre> </pre> <h1> </h1> <br> w".split()
        )
    )
)
def test_no_word_is_lost_in_whatever_order_tags_come(tags: list[str]):
    assert len(re.findall("w", text("".join(tags)))) == tags.count("w")


def test_without_the_extra_the_cure_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "lxml.etree", None)
    with pytest.raises(MissingExtra, match=r"rag-plugins\[documents\]"):
        text("<p>x")
