"""Pairs as tokens: those of the tokenizer itself, and only the passage cut."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_causal import make_bpe
from tiny_classifiers import KINDS
from tiny_models import WORDS, make_tokenizer

from rag_plugins.models.protocols import Read
from rag_plugins.models.rerank.cutting import Limit, cut, cut_by_tokenizer
from rag_plugins.models.rerank.pairs import Pair, SequenceLayout
from rag_plugins.models.tokenizer import SafeTokenizer

TEXTS = (
    st.lists(st.sampled_from([*WORDS, " ", "\n", "[SEP]", "</s>", "ﬁ", "é", "🙂"])).map(" ".join) | st.text()
)


@cache
def tokenizer_of(kind):
    return SafeTokenizer(KINDS[kind][0]())


def odd_tokenizer():
    """XLNet's order: its marker comes last, with a type of its own."""
    from tokenizers.processors import TemplateProcessing

    tokenizer = make_tokenizer()
    tokenizer.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="$A [SEP] [CLS]:2",
        pair="$A [SEP] $B:1 [SEP]:1 [CLS]:2",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return SafeTokenizer(tokenizer)


class TestLayout:
    @pytest.mark.parametrize(
        "kind, markers, types",
        [
            ("Bert", ([2], [3], [3]), (0, 1, 1)),
            ("DistilBert", ([2], [3], [3]), None),
            ("Roberta", ([0], [2, 2], [2]), None),
            ("DebertaV2", ([1], [2], [2]), (0, 1, 1)),
        ],
    )
    def test_markers_and_types_are_found(self, kind, markers, types):
        assert SequenceLayout.of(tokenizer_of(kind)) == SequenceLayout(*markers, types)

    @pytest.mark.parametrize("kind", KINDS)
    @given(query=TEXTS, passage=TEXTS)
    def test_pairs_are_those_of_the_tokenizer(self, kind, query, passage):
        tokenizer = tokenizer_of(kind)
        [pair] = SequenceLayout.of(tokenizer).pairs(tokenizer, [(query, passage)])
        [piece] = cut(pair, Limit(10**6)).pieces
        expected = tokenizer([query], text_pair=[passage])
        assert piece.ids.tolist() == expected["input_ids"][0]
        types = expected.get("token_type_ids")
        assert (piece.types if types is None else piece.types.tolist()) == (types and types[0])

    def test_a_tokenizer_without_markers_has_a_layout(self):
        assert SequenceLayout.of(SafeTokenizer(make_bpe())) == SequenceLayout([], [], [], None)

    def test_every_text_is_tokenised_once(self):
        inner, seen = tokenizer_of("Bert"), []
        layout = SequenceLayout.of(inner)

        def recorded(texts, **options):
            seen.extend(texts)
            return inner(texts, **options)

        layout.pairs(recorded, [("red", text) for text in ("pump", "blue", "pump", "red")])
        assert sorted(seen) == ["blue", "pump", "red"]

    def test_many_texts_keep_their_places(self):
        tokenizer = tokenizer_of("Bert")
        texts = [("red", " ".join(["pump"] * (n % 7))) for n in range(150)]
        pairs = SequenceLayout.of(tokenizer).pairs(tokenizer, texts)
        assert [len(pair.passage) for pair in pairs] == [n % 7 for n in range(150)]

    def test_types_that_differ_within_a_part_are_no_layout(self):
        assert SequenceLayout.of(odd_tokenizer()) is None


class TestCutting:
    @given(st.integers(0, 300), st.integers(1, 20), st.integers(0, 9), st.integers(8, 120), st.booleans())
    def test_only_the_passage_is_cut(self, total, before, after, limit, windows):
        pair = Pair([1] * before, np.arange(total, dtype=np.int32), [2] * after, (0, 1, 2))
        room = limit - before - after
        pieces = cut(pair, Limit(limit, windows))
        if room < min(32, total):
            assert pieces is None
            return
        inner = [piece.ids[before : len(piece.ids) - after] for piece in pieces.pieces]
        for piece, passage in zip(pieces.pieces, inner, strict=True):
            assert piece.ids.tolist() == [1] * before + passage.tolist() + [2] * after
            assert piece.types.tolist() == [0] * before + [1] * len(passage) + [2] * after
            assert len(piece.ids) <= limit
        if total <= room:
            assert pieces.read is None and inner[0].tolist() == list(range(total))
        elif windows:
            assert set(np.concatenate(inner)) == set(range(total))
            assert {len(window) for window in inner} == {room}
            assert all(a[-1] - b[0] + 1 >= room // 4 for a, b in zip(inner, inner[1:], strict=False))
            assert pieces.read == Read(total, total, len(inner))
        else:
            assert [passage.tolist() for passage in inner] == [list(range(room))]
            assert pieces.read == Read(room, total)

    def test_windows_share_a_quarter_and_the_last_ends_with_the_passage(self):
        pieces = cut(Pair([0] * 10, list(range(100)), [0] * 10), Limit(60, windows=True)).pieces
        assert [(p.ids[10], p.ids[-11]) for p in pieces] == [(0, 39), (30, 69), (60, 99)]

    def test_a_tokenizer_of_its_own_ways_cuts_by_itself(self):
        tokenizer = odd_tokenizer()
        passage = " ".join(WORDS[n % 9] for n in range(100))
        short = cut_by_tokenizer(tokenizer, "red pump", "the valve", Limit(64))
        expected = tokenizer(["red pump"], text_pair=["the valve"])
        assert short.read is None
        assert short.pieces[0].ids.tolist() == expected["input_ids"][0]
        assert short.pieces[0].types.tolist() == expected["token_type_ids"][0]
        cut_one = cut_by_tokenizer(tokenizer, "red pump", passage, Limit(64))
        options = {"truncation": "only_second", "max_length": 64}
        expected = tokenizer(["red pump"], text_pair=[passage], **options)["input_ids"][0]
        assert [piece.ids.tolist() for piece in cut_one.pieces] == [expected]
        assert cut_one.read == Read(59, 100)
        windows = cut_by_tokenizer(tokenizer, "red pump", passage, Limit(64, windows=True))
        assert windows.read == Read(100, 100, 2)
        assert [len(piece.ids) for piece in windows.pieces] == [64, 5 + 41 + 14]
        assert cut_by_tokenizer(tokenizer, "red " * 60, passage, Limit(64)) is None
