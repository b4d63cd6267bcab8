"""`rag-plugins tune --fusion` and `doctor DB`, on a collection whose dense model is not on this machine."""

import json

import pytest
from fusion_support import Noise, adaptive, fill, texts

from rag_plugins import RagIndex
from rag_plugins.cli import main
from rag_plugins.config import Bm25Leg, DenseLeg

CONFIG = """\
rerank = []
[[legs]]
kind = "dense"
model = "someone/their-model"
[[legs]]
kind = "bm25"
"""

LEXICAL = """\
rerank = []
[[legs]]
kind = "bm25"
[[legs]]
kind = "bm25"
name = "sharp"
b = 0.1
"""


@pytest.fixture
def shell(capsys, monkeypatch, tmp_path):
    """Runs a command at 80 columns: exit code, words on stdout, JSON of its last line, stderr."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def run(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit:
            main([str(argument) for argument in arguments])
        shown = capsys.readouterr()
        last = shown.out.splitlines()[-1:] or [""]
        value = json.loads(last[0]) if last[0].startswith("{") else {}
        assert all(len(line) <= 80 for line in shown.out.splitlines() if not line.startswith("{"))
        return int(exit.value.code or 0), " ".join(shown.out.split()), value, shown.err

    return run


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "rag.toml"
    path.write_text(CONFIG)
    return path


@pytest.fixture(scope="module")
def db(tmp_path_factory):
    path = tmp_path_factory.mktemp("fusion") / "words.db"
    legs = adaptive(DenseLeg(model="someone/their-model"), Bm25Leg())
    with RagIndex.open(path, config=legs, encoders={"dense": Noise()}) as index:
        fill(index, 60)
    return path


@pytest.fixture
def lexical(tmp_path):
    """A collection that the command line can search by itself: its configuration, and the file."""
    (tmp_path / "lexical.toml").write_text(LEXICAL)
    legs = adaptive(Bm25Leg(), Bm25Leg(name="sharp", b=0.1))
    with RagIndex.open(tmp_path / "lexical.db", config=legs) as index:
        fill(index, 60)
    return tmp_path / "lexical.db", "--config", tmp_path / "lexical.toml"


class TestDoctor:
    def test_what_the_collection_told_is_shown_without_its_models(self, shell, db, config):
        code, shown, value, err = shell("doctor", db, "--config", config, "--json")
        assert code == 0, err
        fused = value["fusion"]
        assert (fused["method"], fused["passages"]) == ("adaptive", 60)
        learned = fused["learned"]
        assert fused["weights"] == {name: leg["weight"] for name, leg in learned["legs"].items()}
        assert learned["legs"]["bm25"]["alone"] > learned["legs"]["dense"]["alone"]
        assert f"from {learned['queries']} queries made of the passages, when there were 60" in shown
        assert f"{learned['legs']['dense']['alone']:.3f}" in shown and "2.2 nats a point" in shown
        assert value["models"][0]["weights"] is None

    def test_without_a_collection_nothing_is_said_of_fusion(self, shell, config):
        code, shown, value, _ = shell("doctor", "--config", config, "--json")
        assert code == 0 and "fusion" not in value and "Fusion" not in shown

    def test_weights_that_are_set_go_before_what_was_learned(self, shell, db, config):
        config.write_text(CONFIG + "weight = 3\n")
        _, shown, value, _ = shell("doctor", db, "--config", config, "--json")
        fused = value["fusion"]
        assert (fused["method"], fused["weights"]) == ("minmax", {"dense": 0.25, "bm25": 0.75})
        assert "weights are set in the configuration (bm25 3)" in shown and "Together" not in shown

    def test_a_leg_of_weight_zero_is_not_run(self, shell, db, config):
        config.write_text(CONFIG + "weight = 0\n")
        _, shown, value, _ = shell("doctor", db, "--config", config, "--json")
        assert value["fusion"]["weights"] == {"dense": 1.0, "bm25": 0.0}
        assert "one leg alone is run" in shown and "0: not run" in shown

    def test_a_small_collection_has_told_nothing(self, shell, tmp_path):
        with RagIndex.open(tmp_path / "small.db", preset="lexical") as index:
            fill(index, 3)
        two = tmp_path / "two.toml"
        two.write_text(LEXICAL)
        code, _, _, err = shell("doctor", tmp_path / "small.db", "--config", two)
        assert code == 1 and "has the legs bm25, the configuration bm25, sharp" in err
        with RagIndex.open(tmp_path / "two.db", config=adaptive(Bm25Leg(), Bm25Leg(name="sharp"))) as index:
            fill(index, 3)
        _, shown, value, _ = shell("doctor", tmp_path / "two.db", "--config", two, "--json")
        assert (value["fusion"]["method"], value["fusion"]["learned"]) == ("minmax", None)
        assert "3 passages" in shown and "from 20 on" in shown

    def test_another_tenant_has_told_nothing(self, shell, db, config):
        _, _, value, _ = shell("doctor", db, "--config", config, "--tenant", "other", "--json")
        assert (value["fusion"]["passages"], value["fusion"]["learned"]) == (0, None)

    def test_an_absent_collection_is_refused_and_not_made(self, shell, db, config):
        for _ in range(2):
            code, _, _, err = shell("doctor", db, "--config", config, "--collection", "other")
            assert code == 1 and "no collection 'other'" in err
        assert shell("doctor", db.with_name("absent.db"))[0] == 2


class TestTuneFusion:
    def test_by_itself(self, shell, lexical):
        code, shown, learned, err = shell("tune", *lexical, "--fusion", "--json")
        assert code == 0, err
        assert learned["source"] == "known items" and set(learned["legs"]) == {"bm25", "sharp"}
        assert f"Learned from {learned['queries']} queries made of the passages" in shown
        assert f"Together {learned['together']:.3f}" in shown

    def test_by_a_log(self, shell, lexical, tmp_path):
        (tmp_path / "log.txt").write_text("baba\nbaba bado\n")
        code, _, learned, err = shell(
            "tune", *lexical, "--fusion", "--queries", tmp_path / "log.txt", "--json"
        )
        assert code == 0 and learned["source"] == "known items", err

    def test_by_clicks(self, shell, lexical, tmp_path):
        pairs = tmp_path / "pairs.jsonl"
        asked = {name: " ".join(text.split()[:3]) for name, text in texts(45).items()}
        lines = [json.dumps({"query": query, "doc_id": name}) for name, query in asked.items()]
        pairs.write_text("\n".join(lines))
        code, shown, learned, err = shell("tune", *lexical, "--fusion", "--pairs", pairs, "--json")
        assert code == 0, err
        assert (learned["source"], learned["queries"]) == ("labels", 45)
        assert "Learned from 45 judged queries" in shown
        assert f"measured on the other: {learned['gain']:+.4f}" in shown
        _, _, value, _ = shell("doctor", *lexical, "--json")
        assert value["fusion"]["learned"] == learned
        pairs.write_text("\n".join(lines[:30]))
        _, shown, learned, _ = shell("tune", *lexical, "--fusion", "--pairs", pairs, "--json")
        assert learned["gain"] is None and "With 40 judged queries or more" in shown

    def test_by_judged_queries(self, shell, lexical, tmp_path):
        folder = tmp_path / "judged"
        folder.mkdir()
        queries = [json.dumps({"_id": f"q{name}", "text": text}) for name, text in texts(25).items()]
        (folder / "queries.jsonl").write_text("\n".join(queries))
        (folder / "qrels.tsv").write_text("".join(f"q{n}\t{n}\t2\n" for n in range(25)))
        code, _, learned, err = shell("tune", *lexical, "--fusion", "--qrels", folder, "--json")
        assert code == 0, err
        assert (learned["source"], learned["queries"], learned["together"]) == ("labels", 25, 1.0)

    def test_too_few_clicks(self, shell, lexical, tmp_path):
        (tmp_path / "pairs.jsonl").write_text('{"query": "baba", "doc_id": "1"}')
        code, _, _, err = shell("tune", *lexical, "--fusion", "--pairs", tmp_path / "pairs.jsonl")
        assert code == 1 and "in the collection: 1; weights are learned from 20" in err
