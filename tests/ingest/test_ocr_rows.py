from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rag_plugins.ingest.ocr.rows import in_reading_order, in_rows
from rag_plugins.ingest.text import Lines, Piece
from rag_plugins.types import Box

HEIGHT = 0.02
PROSE = "some running text of a good length"


def line(text: str, left: float, top: float) -> list[Piece]:
    """Words from a place on, half as wide a character as the line is high, on a square page."""
    pieces: list[Piece] = []
    for word in text.split():
        right = left + len(word) * HEIGHT / 2
        pieces.append(Piece(word, Box(left, top, right, top + HEIGHT), 0.9))
        left = right + HEIGHT / 2
    return pieces


def column(texts: list[str], left: float, top: float = 0.1, step: float = 0.03) -> Lines:
    return [line(text, left, top + row * step) for row, text in enumerate(texts)]


def shown(paragraphs: list[Lines]) -> list[list[str]]:
    return [[" ".join(piece.text for piece in pieces) for pieces in lines] for lines in paragraphs]


def test_columns_of_a_table_become_rows():
    table = [
        column(["Pump", "Filter", "Belt"], 0.1),
        column(["2", "14", "1"], 0.5),
        column(["9.50", "3.00", "12.00"], 0.7),
    ]
    assert shown(in_rows(table, 1.0)) == [["Pump 2 9.50", "Filter 14 3.00", "Belt 1 12.00"]]


def test_columns_of_text_stay_columns():
    text = [
        column([f"{PROSE} {row}" for row in "abc"], 0.05),
        column([f"{PROSE} {row}" for row in "def"], 0.55),
    ]
    assert in_rows(text, 1.0) == text


def test_a_note_beside_running_text_stays_beside_it():
    note = [column([f"{PROSE} and {row} again, on and on" for row in "abc"], 0.05), column(["a note"], 0.8)]
    assert in_rows(note, 1.0) == note


def test_a_page_with_a_table_is_read_from_top_to_bottom():
    head, items, prices, total = (
        column(["Invoice"], 0.1, top=0.05),
        column(["Pump", "Filter"], 0.1, top=0.2),
        column(["9.50", "3.00"], 0.7, top=0.2),
        column(["Thank you"], 0.1, top=0.4),
    )
    assert shown(in_rows([items, total, prices, head], 1.0)) == [
        ["Invoice"],
        ["Pump 9.50", "Filter 3.00"],
        ["Thank you"],
    ]


def test_a_smear_beside_the_text_joins_nothing():
    smear = [[Piece("|", Box(0.9, 0.05, 0.91, 0.5), 0.4)]]
    text = [column(["Pump", "Filter"], 0.1, top=0.1), smear, column(["Belt"], 0.1, top=0.3)]
    assert in_rows(text, 1.0) == text


def test_scattered_lines_are_read_by_columns():
    heading = line("A heading over both of the columns, wide", 0.05, 0.02)
    left = column([f"left {PROSE}"] * 4, 0.05)
    right = column([f"right {PROSE}"] * 4, 0.55)
    found = shown(
        in_reading_order([heading, *(side for pair in zip(left, right, strict=True) for side in pair)], 1.0)
    )
    assert found == [
        [" ".join(piece.text for piece in heading)],
        [f"left {PROSE}"] * 4,
        [f"right {PROSE}"] * 4,
    ]


def test_scattered_cells_are_read_by_rows():
    cells = [*column(["Pump", "Filter", "Belt"], 0.1), *column(["9.50", "3.00", "12.00"], 0.7)]
    assert shown(in_reading_order(cells, 1.0)) == [["Pump 9.50", "Filter 3.00", "Belt 12.00"]]


PLACES = st.tuples(st.sampled_from(["a", "bb ccc", PROSE]), st.floats(0, 0.7), st.floats(0, 0.9))


@given(st.lists(PLACES, max_size=12), st.integers(1, 4))
def test_no_word_is_lost_or_read_twice(places: list[tuple[str, float, float]], at_once: int):
    lines = [line(*place) for place in places]
    blocks = [lines[start : start + at_once] for start in range(0, len(lines), at_once)]
    wanted = sorted((piece for pieces in lines for piece in pieces), key=repr)
    for made in (in_rows(blocks, 0.7), in_reading_order(lines, 0.7)):
        assert all(pieces for lines in made for pieces in lines)
        assert sorted((piece for lines in made for pieces in lines for piece in pieces), key=repr) == wanted
