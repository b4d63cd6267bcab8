"""Rerankers that the caller gives: whose stages they are, and what they are given to read."""

import numpy as np
import pytest

from rag_plugins import Config, RagIndex
from rag_plugins.config import DenseLeg, GivenRerankerConfig, LateInteractionConfig
from rag_plugins.errors import ConfigError
from rag_plugins.models.protocols import Scores

LEXICAL = Config.preset("lexical")


class Longest:
    """The longer the view, the better."""

    scale = "logit"
    reads_images = False

    def __init__(self, name="longest", reads_tokens=False):
        self.name, self.reads_tokens, self.read = name, reads_tokens, []

    def score(self, query, candidates):
        self.read += candidates
        return Scores(np.array([len(candidate.views[0].text) for candidate in candidates], np.float32))


def opened(path, *rerankers, **settings):
    config = LEXICAL.model_copy(update=settings)
    index = RagIndex.open(path / "a.db", config=config, rerankers=rerankers)
    index.add([index.passage(text, caller_id=text) for text in ("lamp", "red lamp", "a red lamp, lit")])
    return index


def ids(hits):
    return [hit.passage.caller_id for hit in hits]


def test_they_stand_in_place_of_the_configurations_stages(tmp_path):
    config = Config(rerank=(LateInteractionConfig(depth=7),), legs=(DenseLeg(), *LEXICAL.legs))
    with opened(tmp_path, Longest(), Longest("again"), rerank=config.rerank) as index:
        assert index.config.rerank == (GivenRerankerConfig(name="longest"), GivenRerankerConfig(name="again"))
        hits = index.search("lamp", k=3)
        assert ids(hits) == ["a red lamp, lit", "red lamp", "lamp"]
        assert [stage.stage for stage in hits[0].trace][-2:] == ["longest", "again"]
    # Nothing of it stays with the collection.
    with opened(tmp_path) as index:
        assert ids(index.search("lamp", k=3))[0] == "lamp"


def test_a_stage_of_the_configuration_says_how_it_counts(tmp_path):
    stage = GivenRerankerConfig(name="longest", min_score=6.0, depth=3)
    with opened(tmp_path, Longest(), rerank=(stage,)) as index:
        assert ids(index.search("lamp", k=3)) == ["a red lamp, lit", "red lamp"]
    with pytest.raises(ConfigError, match=r"are \['longest'\], and the rerankers given \['other'\]"):
        opened(tmp_path, Longest("other"), rerank=(stage,))
    with pytest.raises(ConfigError, match="rerankers given \\[\\]"):
        opened(tmp_path, rerank=(stage,))


def test_a_stage_by_its_name_in_a_file(tmp_path):
    path = tmp_path / "rag.toml"
    path.write_text('[[rerank]]\nkind = "given"\nname = "longest"\ndepth = 9\n')
    assert Config.from_toml(path).rerank == (GivenRerankerConfig(name="longest", depth=9),)
    path.write_text('[[rerank]]\nkind = "given"\n')
    with pytest.raises(ConfigError, match="name"):
        Config.from_toml(path)


def test_one_that_reads_token_vectors_makes_them_itself(tmp_path):
    reranker = Longest(reads_tokens=True)
    with opened(tmp_path, reranker) as index:
        assert len(index.search("lamp", k=3)) == 3
    assert [candidate.tokens for candidate in reranker.read] == [None] * 3


@pytest.mark.parametrize("given", [[Longest(), Longest()], ["longest"], [len], {"longest": Longest()}])
def test_what_is_no_list_of_rerankers(tmp_path, given):
    with pytest.raises(ConfigError, match="rerankers"):
        RagIndex.open(tmp_path / "a.db", config=LEXICAL, rerankers=given)
