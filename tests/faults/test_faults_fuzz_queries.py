"""Queries of any characters: read or refused as `BadQuery`; what is read, both stores search with."""

from time import process_time

import pytest
from faults_support_fuzz import long, short
from hypothesis import given
from hypothesis import strategies as st

from rag_plugins import RagIndex
from rag_plugins.config import Bm25Leg, Config, RobustLeg
from rag_plugins.errors import BadQuery
from rag_plugins.lexical.rules import parse_query
from rag_plugins.types import Hits

TEXTS = (
    "The filter of pump AQ-310 is changed every month.",
    "A wild card, well-known: --no-cache and snake_case in C:\\logs\\* (50 %).",
    "Le débit de l'eau, ÉTÉ 2024; straße, STRASSE, naïve, ﬁlter",
    "过滤器每月更换一次。产品说明",
    "हिन्दी दी और 한국어 단어 ひらがな",
    "a" * 300 + " 0123456789 e\u0301 \U0001f600 \u200b",
)
WORDS = [word for text in TEXTS for word in text.split()]
OPERATORS = '*?~"\\“”＂ ()-~1~2~9'
PIECES = st.one_of(
    st.sampled_from([*WORDS, *OPERATORS, "~2", '"~3', "*?*", "????", "\\*", "\ud800", "\0", "\u202e", " "]),
    st.text(st.sampled_from(OPERATORS + "abcé过ि\u0301\0\ud800"), max_size=12),
    st.text(max_size=12),
)
QUERIES = st.lists(PIECES, max_size=14).map("".join)


@pytest.fixture(scope="module")
def indexes(milvus_server, tmp_path_factory):
    """The same passages in a file and on a server, with terms that are words and such that are n-grams."""
    config = Config(legs=(Bm25Leg(), RobustLeg()), rerank=())
    file = str(tmp_path_factory.mktemp("queries") / "file.db")
    opened = [
        RagIndex.open(uri, config=config, collection="test_" + "f" * 32) for uri in (file, milvus_server)
    ]
    for index in opened:
        index.add([index.passage(text, caller_id=str(n)) for n, text in enumerate(TEXTS)])
    yield opened
    for index in opened:
        index.close()


def told(hits: Hits):
    return {hit.passage.caller_id: pytest.approx(hit.score, rel=1e-3, abs=1e-3) for hit in hits}


def searched(indexes, text):
    """Both stores say the same of any query, and refuse the same ones."""
    try:
        query = parse_query(text)
    except BadQuery:
        query = text
    answers = []
    for index in indexes:
        try:
            answers.append(told(index.search(query, k=6)))
        except BadQuery as error:
            answers.append(str(error))
    assert answers[0] == answers[1]


@short(40)
@given(QUERIES)
def test_any_query_is_answered_or_refused(indexes, text):
    searched(indexes, text)


@pytest.mark.faults
@pytest.mark.timeout(900)
@long(4000)
@given(QUERIES)
def test_any_query_is_answered_or_refused_long(indexes, text):
    searched(indexes, text)


@pytest.mark.parametrize(
    "text",
    [
        "*?" * 2000 + "a",
        "a" * 100_000,
        "a" * 5000 + "~2",
        '"' + "filter " * 1500 + '"~1000',
        "?" * 3000 + "a*",
        " ".join(["pump*"] * 2000),
        "\\*" * 5000,
        '"a' * 2001,
        "~" * 3000,
        "a*b" * 1500,
    ],
    ids=lambda text: f"{text[:4]} {len(text)}",
)
def test_a_long_query_takes_no_longer_than_others(indexes, text):
    """A word of 100,000 letters took 5 s in memory, for all its pieces, and on a server 10 s for n-grams."""
    started = process_time()
    searched(indexes, text)
    assert process_time() - started < 3.0
