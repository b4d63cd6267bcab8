import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_plugins.errors import BadInput, BadQuery
from rag_plugins.lexical.rules import Fuzzy, Phrase, Plain, Prefix, Query, Wildcard, parse_query

OPERATORS = '\\*?~"“”„‟＂'


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("", ()),
        (" \n ", ()),
        ("filter change", (Plain("filter"), Plain("change"))),
        ('"exact phrase"', (Phrase("exact phrase"),)),
        ('"near phrase"~3', (Phrase("near phrase", 3),)),
        ("“curly quotes”~2", (Phrase("curly quotes", 2),)),
        ('("near phrase"~3).', (Plain("("), Phrase("near phrase", 3))),
        ('a"b c"d', (Plain("a"), Phrase("b c"), Plain("d"))),
        ('"a \\"b\\" c"', (Phrase('a "b" c'),)),
        ('"what* is~1 this?"', (Phrase("what* is~1 this?"),)),
        ("pump*", (Prefix("pump"),)),
        ("(pump**), [pump*]; 'pump*'", (Prefix("pump"),) * 3),
        ("is it pump*?", (Plain("is"), Plain("it"), Prefix("pump"))),
        ("wild*c?rd", (Wildcard("wild*c?rd"),)),
        ("*pump", (Wildcard("*pump"),)),
        ("?ump", (Wildcard("?ump"),)),
        ("a**b", (Wildcard("a*b"),)),
        ("fuzzy~1 fuzzy~2 fuzzy~", (Fuzzy("fuzzy", 1), Fuzzy("fuzzy", 2), Fuzzy("fuzzy", 1))),
        ("(fuzzy~2)? fuzzy~!", (Fuzzy("fuzzy", 2), Fuzzy("fuzzy", 1))),
        ("--no-ca*", (Prefix("--no-ca"),)),
        ("AQ-3?0", (Wildcard("AQ-3?0"),)),
        ("AQ-31?*", (Wildcard("AQ-31?*"),)),
        ("AQ-31?", (Plain("AQ-31?"),)),
        ("is it changed?! really?)", tuple(map(Plain, ("is", "it", "changed?!", "really?)")))),
        (
            "产品* “产品说明”~2 怎?样 更换？",
            (Prefix("产品"), Phrase("产品说明", 2), Wildcard("怎?样"), Plain("更换？")),
        ),
        ("हि*दी", (Wildcard("हि*दी"),)),
        (
            r"5\" \*bold\* \~3 a\?b C:\logs \\",
            tuple(map(Plain, ('5"', "*bold*", "~3", "a?b", "C:\\logs", "\\"))),
        ),
    ],
)
def test_queries_read_as_their_rules(text, rules):
    query = parse_query(text)
    assert query.rules == rules
    assert parse_query(str(query)) == query


@pytest.mark.parametrize(
    ("text", "position", "reason"),
    [
        ('pump "dust filter', 5, "not closed"),
        ('"a b" "', 6, "not closed"),
        ('"a\\"', 0, "not closed"),
        ('pump ""', 5, "empty phrase"),
        ('pump "..."', 5, "empty phrase"),
        ('"a b"~', 5, "~ after a phrase"),
        ('"a b"~x', 5, "~x after a phrase"),
        ('"a b"~3x', 5, "~3x after a phrase"),
        ('"a b"~1.5', 5, "~1.5 after a phrase"),
        ('"a b"~²', 5, "~² after a phrase"),
        ('x "a b"~9999', 2, "slop 9999"),
        ('"a b"~99999', 5, "~99999"),
        ("2 * 3", 2, "no letter or digit"),
        ("**", 0, "no letter or digit"),
        ("a ?* b", 2, "no letter or digit"),
        ("a (-*)", 2, "no letter or digit"),
        ("word~3", 4, "~3 after a word"),
        ("a word~x", 6, "~x after a word"),
        ("word~1~1", 4, "~1~1 after a word"),
        ("a ~3", 2, "no word before the ~"),
        ("a ~/logs", 2, "no word before the ~"),
        ("-~1", 0, "no letter or digit"),
        ("pum*p~1", 3, "not both"),
        (r"a \*b*c", 2, "a plain * among wildcards"),
        ("a\\", 1, "backslash"),
        ("a\\ b", 1, "backslash"),
    ],
)
def test_a_malformed_rule_points_at_its_character(text, position, reason):
    with pytest.raises(BadQuery, match=re.escape(reason)) as caught:
        parse_query(text)
    assert (caught.value.query, caught.value.position) == (text, position)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Phrase(" "),
        lambda: Phrase("a b", -1),
        lambda: Phrase("a b", 1001),
        lambda: Prefix(""),
        lambda: Prefix("--"),
        lambda: Prefix("two words"),
        lambda: Wildcard("*?"),
        lambda: Wildcard("pump"),
        lambda: Wildcard("a* b"),
        lambda: Fuzzy("", 1),
        lambda: Fuzzy("word", 0),
        lambda: Fuzzy("word", 3),
    ],
)
def test_typed_rules_are_checked_too(make):
    with pytest.raises(BadQuery):
        make()


def test_a_query_of_bare_strings_is_refused():
    with pytest.raises(BadInput, match="wrap it in Plain"):
        Query(("pump",))


def test_a_query_takes_any_sequence_of_rules():
    assert Query([Prefix("pump")]) == Query((Prefix("pump"),))
    assert hash(Query([Prefix("pump")])) == hash(parse_query("pump*"))


def test_text_is_the_query_without_operators():
    query = parse_query(r'why does "the filter"~2 of AQ-3?0 need a wild*c?rd, --no-ca* or fuzzy~2 \*?')
    assert query.text == "why does the filter of AQ-3 0 need a wild c rd --no-ca or fuzzy *?"


@given(st.text(st.characters() | st.sampled_from(OPERATORS + " ab12-(')")))
def test_whatever_can_be_read_is_written_so_that_it_reads_the_same(text):
    try:
        query = parse_query(text)
    except BadQuery as error:
        assert error.query == text and 0 <= error.position < len(text)
        return
    assert parse_query(str(query)) == query
    assert not any(isinstance(rule, Plain) and not rule.text.strip() for rule in query.rules)


@given(st.text(st.characters(exclude_characters=OPERATORS)))
def test_without_operators_there_are_plain_words_only(text):
    query = parse_query(text)
    assert [rule.text for rule in query.rules] == text.split()
    assert all(isinstance(rule, Plain) for rule in query.rules)


@given(st.lists(st.text(st.characters(exclude_characters=OPERATORS), min_size=1).filter(str.strip)))
def test_a_question_mark_ends_plain_questions(words):
    text = " ".join(word.strip() + "?" for word in words)
    try:
        assert all(isinstance(rule, Plain) for rule in parse_query(text).rules) or re.search(
            r"\?\S*[^\W_]", text
        )
    except BadQuery:
        raise AssertionError(text) from None


WORDS = st.text(st.characters() | st.sampled_from(OPERATORS + "ab-(.'"), min_size=1).filter(
    lambda text: not re.search(r"\s", text) and any(map(str.isalnum, text))
)
RULES = st.one_of(
    st.builds(Plain, WORDS),
    st.builds(Phrase, st.text().filter(lambda text: any(map(str.isalnum, text))), st.integers(0, 1000)),
    st.builds(Prefix, WORDS),
    st.builds(Fuzzy, WORDS, st.integers(1, 2)),
    st.builds(
        lambda a, b, mark: Wildcard(a + mark + b),
        *[WORDS.map(lambda w: re.sub(r"[*?]", "", w) or "x")] * 2,
        st.sampled_from("*?"),
    ).filter(lambda rule: rule.pattern[-1].isalnum()),
)


@given(st.lists(RULES))
def test_typed_rules_are_written_so_that_they_read_the_same(rules):
    query = Query(tuple(rules))
    assert parse_query(str(query)) == query
