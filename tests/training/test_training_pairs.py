"""Pairs from lines, tables and folders; parts that have nothing in common; columns."""

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_plugins.errors import BadDocument, BadInput
from rag_plugins.training.columns import columns, filled, margins, taught
from rag_plugins.training.pairs import Pair, answering, read_pairs, relevant, split

ROWS = [
    {"query": "How tight?", "positive": "12 Nm.", "negatives": ["13 kg", "blue"], "doc_id": "pump"},
    {"query": "How old?", "positive": "Two years."},
]
PAIRS = (Pair("How tight?", "12 Nm.", ("13 kg", "blue"), group="pump"), Pair("How old?", "Two years."))


def lines(*values):
    return "\n".join(json.dumps(value) for value in values)


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("name", ["pairs.jsonl", "pairs.jsonl.gz"])
def test_lines_are_read_with_what_they_have(tmp_path, name, mark):
    data = (mark + lines(*ROWS, ROWS[0]) + "\n\n").encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    pairs = read_pairs(tmp_path / name)
    assert pairs.items == PAIRS and pairs.bad == () and not pairs.graded


@pytest.mark.parametrize(("name", "delimiter"), [("p.csv", ","), ("p.tsv", "\t"), ("p.csv.gz", ",")])
def test_tables_are_read_under_the_names_that_others_use(tmp_path, name, delimiter):
    rows = [["Sentence1", " sentence2", "Score"], ["red, or not", '"two\nlines"', "0.5"], ["a", "b", "3"]]
    rows[1][0] = f'"{rows[1][0]}"'
    data = ("\ufeff" + "\r\n".join(delimiter.join(row) for row in rows)).encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    pairs = read_pairs(tmp_path / name)
    assert pairs.items == (Pair("red, or not", "two\nlines", score=0.5), Pair("a", "b", score=3.0))
    assert pairs.graded


def test_bad_lines_are_told_and_the_rest_is_read(tmp_path):
    bad = ["not json", "[1]", lines({"query": "q"}), lines({"query": " ", "positive": "p"})]
    bad += [lines({"query": "q", "positive": "p", "score": value}) for value in ("high", "nan", [1])]
    (tmp_path / "pairs.jsonl").write_text("\n".join([lines(ROWS[0]), *bad, lines(ROWS[1])]))
    pairs = read_pairs(tmp_path / "pairs.jsonl")
    assert pairs.items == PAIRS and len(pairs.bad) == len(bad)
    assert pairs.bad[0] == "pairs.jsonl, line 2: expected a query"
    assert pairs.bad[2] == "pairs.jsonl, line 4: expected a positive"
    assert all(f"line {n}: " in told for n, told in enumerate(pairs.bad, 2))


def test_a_missing_quotation_mark_does_not_swallow_the_rest_unseen(tmp_path):
    (tmp_path / "p.csv").write_text('query,positive\na,b\n"c,d\ne,f\n')
    pairs = read_pairs(tmp_path / "p.csv")
    assert pairs.items == (Pair("a", "b"),) and len(pairs.bad) == 1


def test_odd_characters_are_made_safe(tmp_path):
    (tmp_path / "p.jsonl").write_text(
        '{"query": "a\\ud800\\u0000", "positive": " p\\u0007 ", "negatives": "p"}'
    )
    assert read_pairs(tmp_path / "p.jsonl").items == (Pair("a\ufffd", "p"),)


def test_a_beir_folder_gives_its_judged_queries(tmp_path):
    (tmp_path / "corpus.jsonl").write_text(
        lines(
            {"_id": "d1", "title": "T", "text": "one"},
            {"_id": "d2", "text": "two"},
            {"_id": "d3", "text": ""},
        )
    )
    (tmp_path / "queries.jsonl").write_text(
        lines({"_id": "q1", "text": "first?"}, {"_id": "q2", "text": "no"})
    )
    (tmp_path / "qrels.tsv").write_text("q1\td1\t1\nq1\td2\t0\nq1\td3\t1\nq9\td2\t1\n")
    pairs = read_pairs(tmp_path)
    assert pairs.items == (Pair("first?", "T\none", group="d1"),)
    assert pairs.corpus == {"d1": "T\none", "d2": "two", "d3": ""}


def test_a_folder_of_pairs_beside_a_corpus(tmp_path):
    (tmp_path / "corpus.jsonl.gz").write_bytes(
        gzip.compress((lines({"_id": "0", "title": "T", "text": "one"}) + "\nbroken").encode())
    )
    (tmp_path / "pairs.jsonl").write_text(
        lines({"query": "first?", "doc_id": 0}, {"query": "second?", "doc_id": "missing"})
    )
    pairs = read_pairs(tmp_path)
    assert pairs.items == (Pair("first?", "T\none", group="0"),) and pairs.corpus == {"0": "T\none"}
    assert pairs.bad == (
        "corpus.jsonl.gz, line 2: expected a text",
        "pairs.jsonl, line 2: expected a positive",
    )


@pytest.mark.parametrize("text", ["", "\n", "question without a head\n", '{"query": "q"}'])
@pytest.mark.parametrize("name", ["p.jsonl", "p.csv"])
def test_a_file_without_pairs_is_refused(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(BadInput, match="no pair of a query and a positive"):
        read_pairs(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("p.jsonl", b"\xff\xfe{\x00"),
        ("p.csv", b"query,positive\n\xe4,b"),
        ("p.jsonl.gz", gzip.compress(b"x" * 999, mtime=0)[:-9]),
        ("p.csv.gz", b"no gzip"),
        ("p.csv.gz", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xff\xff\xff"),
    ],
)
def test_files_that_cannot_be_read_are_refused(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(BadDocument, match="cannot be read"):
        read_pairs(tmp_path / name)


def test_other_files_and_folders_are_refused(tmp_path):
    (tmp_path / "p.xlsx").write_bytes(b"PK")
    with pytest.raises(BadInput, match=r"expected pairs as \.jsonl"):
        read_pairs(tmp_path / "p.xlsx")
    with pytest.raises(BadInput, match=r"expected queries\.jsonl and qrels\.tsv"):
        read_pairs(tmp_path)
    with pytest.raises(BadDocument, match=r"nowhere\.csv"):
        read_pairs(tmp_path / "nowhere.csv")


names = st.sampled_from("abcdefgh")
pairs_made = st.builds(Pair, query=names, positive=names, group=st.sampled_from(["", "", *"uvwxyz"]))
shares = st.floats(0, 1, exclude_min=True, exclude_max=True)


def keys(pairs):
    return {
        (kind, value)
        for p in pairs
        for kind, value in zip("qpg", (p.query, p.positive, p.group), strict=True)
        if value
    }


def connected(pairs):
    """Whether one is reached from another by queries, positives and groups: by hand, the slow way."""
    reached, left = list(pairs[:1]), list(pairs[1:])
    while near := [pair for pair in left if keys([pair]) & keys(reached)]:
        reached += near
        left = [pair for pair in left if pair not in near]
    return not left


@given(st.lists(pairs_made, max_size=30), shares, st.integers(0, 9))
def test_parts_have_nothing_in_common(pairs, share, seed):
    train, dev = split(pairs, share, seed)
    assert not keys(train) & keys(dev)
    assert sorted([*train, *dev], key=repr) == sorted(pairs, key=repr)
    assert (train, dev) == split(pairs, share, seed)
    assert bool(train) == bool(pairs) and bool(dev) == (not connected(pairs))


@given(st.integers(2, 200), shares, st.integers(0, 9))
def test_single_pairs_are_parted_by_the_share(count, share, seed):
    train, dev = split([Pair(f"q{n}", f"p{n}") for n in range(count)], share, seed)
    assert len(train) + len(dev) == count
    assert len(dev) == max(1, min(count - 1, int(share * count)))


def test_a_seed_draws_other_parts():
    pairs = [Pair(f"q{n}", f"p{n}") for n in range(50)]
    assert {pair.query for pair in split(pairs, 0.2, 0)[1]} != {
        pair.query for pair in split(pairs, 0.2, 1)[1]
    }


def test_what_is_graded_low_is_a_negative():
    pairs = [
        Pair("q", "yes", ("n",), 1.0, taught=(1.0, 0.0)),
        Pair("q", "no", score=0.0),
        Pair("r", "no", score=0.0),
    ]
    (pair,) = answering(pairs)
    assert pair == Pair("q", "yes", ("n", "no"), taught=(1.0, 0.0))
    assert answering([pair]) == [pair] and relevant(pairs) == {"q": {"yes": 1}}
    same = [Pair("q", "a", score=1.0), Pair("r", "b", score=1.0)]
    assert [pair.positive for pair in answering(same)] == ["a", "b"]


@given(
    st.lists(st.builds(Pair, names, names, st.lists(names, max_size=3, unique=True).map(tuple))),
    st.integers(0, 4),
)
def test_missing_negatives_are_others_passages_and_no_known_answers(pairs, count):
    answers = {}
    for pair in pairs:
        answers.setdefault(pair.query, set()).add(pair.positive)
    made = filled(pairs, count)
    assert made == filled(pairs, count) and len(made) == len(pairs)
    for before, after in zip(pairs, made, strict=True):
        drawn = after.negatives[len(before.negatives) :]
        assert after.negatives[: len(before.negatives)] == before.negatives
        assert not answers[after.query] & set(drawn) and len({*drawn}) == len(drawn)
        assert len(after.negatives) <= max(count, len(before.negatives))


def test_pairs_of_one_group_alone_end_too():
    one = [Pair("q", "a", ("n",), group="g"), Pair("r", "b", group="g")]
    assert columns(one, "ranking", 1) == {"query": ["q"], "positive": ["a"], "negative_1": ["n"]}
    with pytest.raises(BadInput, match="no pair has 3 negatives"):
        columns(one, "ranking", 3)


def test_columns_of_pairs_without_negatives():
    pairs = [Pair("q", "a"), Pair("r", "b")]
    assert columns(pairs, "ranking", 2) == {"query": ["q", "r"], "positive": ["a", "b"]}


def test_margins_are_of_the_first_negatives():
    pairs = [
        Pair("q", "yes", ("a", "b"), taught=(3.0, 1.0, 0.5)),
        Pair("r", "few", ("a",), taught=(1.0, 0.0)),
    ]
    assert margins(pairs, 2) == {
        "query": ["q"],
        "positive": ["yes"],
        "negative_1": ["a"],
        "negative_2": ["b"],
        "label": [[2.0, 2.5]],
    }
    with pytest.raises(BadInput, match="1 queries have none"):
        margins([Pair("q", "yes", ("a",))], 1)
    (pair,) = taught([Pair("q", "yes", ("n", "no"))], lambda query, texts: [len(text) for text in texts])
    assert pair.taught == (3, 1, 2) and margins([pair], 1)["label"] == [[2]]
