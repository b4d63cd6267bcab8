import re
import threading

from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import OSA

from rag_plugins.lexical.vocabulary import Vocabulary

WORDS = ["pump", "pumps", "pumped", "lump", "filter", "aq-310", "aq-320", "error code", "产品", "--no-cache"]

SURFACES = st.sets(
    st.text(st.sampled_from("abcé产\n") | st.characters(), min_size=1, max_size=8), max_size=40
)
PATTERNS = st.text(st.sampled_from("abcé产[!]\\*?"), max_size=6)


def test_look_ups_on_literal_words():
    vocabulary = Vocabulary(WORDS)
    assert vocabulary.prefix("pump", 9) == ["pump", "pumped", "pumps"]
    assert vocabulary.prefix("pump", 2) == ["pump", "pumped"]
    assert vocabulary.prefix("产", 9) == ["产品"]
    assert vocabulary.prefix("", 2) == ["--no-cache", "aq-310"]
    assert vocabulary.wildcard("aq-3?0", 9) == ["aq-310", "aq-320"]
    assert vocabulary.wildcard("*ump", 9) == ["lump", "pump"]
    assert vocabulary.wildcard("*", 3) == ["--no-cache", "aq-310", "aq-320"]
    assert vocabulary.wildcard("[lp]ump", 9) == []
    assert vocabulary.fuzzy("pupm", 1, 9) == [("pump", 1)]
    assert vocabulary.fuzzy("pump", 1, 9) == [("pump", 0), ("lump", 1), ("pumps", 1)]
    assert vocabulary.fuzzy("pump", 2, 3) == [("pump", 0), ("lump", 1), ("pumps", 1)]


def test_an_empty_vocabulary_finds_nothing():
    vocabulary = Vocabulary()
    assert (vocabulary.prefix("a", 9), vocabulary.wildcard("*", 9), vocabulary.fuzzy("a", 2, 9)) == (
        [],
        [],
        [],
    )
    vocabulary.discard(["a"])
    assert len(vocabulary) == 0 and "a" not in vocabulary


@given(SURFACES, PATTERNS, st.integers(1, 20))
def test_wildcards_are_those_of_a_regular_expression(surfaces, pattern, limit):
    expression = "".join({"*": ".*", "?": "."}.get(c) or re.escape(c) for c in pattern)
    expected = sorted(s for s in surfaces if re.fullmatch(expression, s, re.DOTALL))
    assert Vocabulary(surfaces).wildcard(pattern, limit) == expected[:limit]


@given(SURFACES, st.text(st.sampled_from("abcé产"), max_size=8), st.integers(1, 3), st.integers(1, 20))
def test_edits_are_those_counted_one_by_one(surfaces, word, distance, limit):
    edits = sorted((OSA.distance(word, s), s) for s in surfaces)
    expected = [(s, d) for d, s in edits if d <= distance]
    assert Vocabulary(surfaces).fuzzy(word, distance, limit) == expected[:limit]


@given(SURFACES, st.text(st.sampled_from("abc\U0010ffff"), max_size=3), st.integers(1, 20))
def test_prefixes_are_those_counted_one_by_one(surfaces, start, limit):
    expected = sorted(s for s in surfaces if s.startswith(start))
    assert Vocabulary(surfaces).prefix(start, limit) == expected[:limit]


@given(SURFACES, st.lists(st.tuples(st.booleans(), st.text(st.sampled_from("abc"), min_size=1, max_size=2))))
def test_changes_give_what_a_new_vocabulary_gives(surfaces, changes):
    vocabulary, expected = Vocabulary(surfaces), set(surfaces)
    for known, surface in changes:
        (vocabulary.add if known else vocabulary.discard)([surface])
        (expected.add if known else expected.discard)(surface)
        assert (surface in vocabulary) == (surface in expected)
    fresh = Vocabulary(expected)
    assert len(vocabulary) == len(expected)
    assert vocabulary.wildcard("*", 99) == fresh.wildcard("*", 99)
    assert vocabulary.wildcard("*a?", 99) == fresh.wildcard("*a?", 99)
    assert vocabulary.fuzzy("ab", 2, 99) == fresh.fuzzy("ab", 2, 99)


def test_readers_beside_a_writer_always_see_what_was_there_before():
    vocabulary = Vocabulary(WORDS)
    wrong = []

    def read():
        for _ in range(300):
            if not {"pump", "pumped", "pumps"} <= set(vocabulary.prefix("pump", 10_000)):
                wrong.append("lost")

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for number in range(3000):
        vocabulary.add([f"pump{number}"])
    for reader in readers:
        reader.join()
    assert not wrong
    assert len(vocabulary.prefix("pump", 10_000)) == 3003
