"""From pairs to a configuration: planned, trained, compared, used where no worse; a collection's log."""

import json

import pytest
import transformers
from training_support import PARTS, TRAIN, bert, passage

from rag_plugins.config import Config
from rag_plugins.errors import BadInput, ConfigError
from rag_plugins.evaluation import Question, Record, Target, compare
from rag_plugins.evaluation.tuning.settings import write_model
from rag_plugins.index import RagIndex
from rag_plugins.models.dense import DenseEncoder
from rag_plugins.models.sparse import SparseEncoder
from rag_plugins.training import Pair, Pairs, Task, pairs_of_log, plan, read_pairs, train
from rag_plugins.training.judging import PASSAGES, among

PAIRS = Pairs(tuple(TRAIN))
QUICK = {"batch": 9, "max_length": 32, "precision": "fp32", "learning_rate": 2e-3, "epochs": 2, "dev": 0.3}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return bert(tmp_path_factory.mktemp("base"))


def config(base, *, query_prompt=None, document_prompt=None, **settings):
    leg = {"kind": "dense", "model": str(base), "funnel": [[16, 4], [64]]}
    leg |= {"query_prompt": query_prompt, "document_prompt": document_prompt}
    return Config.make(
        {
            "legs": [leg, {"kind": "bm25"}],
            "rerank": [],
            "train": {kind: {**QUICK, **settings.get(kind, {})} for kind in ("dense", "sparse", "reranker")},
        }
    )


def test_a_dense_model_goes_from_training_to_serving_in_one_configuration(base, tmp_path):
    task = Task.of("dense", config(base))
    found = train(task, PAIRS, tmp_path / "ours", licence="CC0-1.0", data="parts")
    assert set(found.widths) == {16, 64}  # Those of the funnel.
    assert found.outcome.steps == found.outcome.history[-1].step > 0
    leg = found.config.legs[0]
    assert leg.model == str(tmp_path / "ours") and leg.matryoshka == (16, 64)
    assert leg.funnel == task.config.legs[0].funnel
    encoder = DenseEncoder(leg)
    assert encoder.dim == 64 and encoder.matryoshka == (16, 64)
    assert encoder.encode_queries(["red pump"]).dense.shape == (1, 64)
    # Both runs are there to be compared again, and come to the same.
    runs = [Record.load(tmp_path / "ours" / "evaluation" / name) for name in ("before", "after")]
    again = compare(*runs)
    assert again.differences == found.comparison.differences
    card = (tmp_path / "ours" / "README.md").read_text(encoding="utf-8")
    assert "license: CC0-1.0" in card and "| data | parts |" in card and "| seed | 0 |" in card
    assert "| learning rate | 0.002 |" in card
    assert f"| 16 | {found.widths[16][0]:.4f} | {found.widths[16][1]:.4f} |" in card
    assert "ranking, Matryoshka at 64, 16" in card
    assert json.dumps(found.to_json())


def test_the_model_reads_as_much_as_before_when_it_is_served(base, tmp_path):
    found = train(Task.of("dense", config(base, dense={"max_length": 8})), PAIRS, tmp_path / "ours")
    before, after = (
        DenseEncoder(each.legs[0]).fingerprint["max_length"] for each in (found.task.config, found.config)
    )
    assert before == after == 64


def test_prompts_of_the_leg_are_trained_with_and_served(base, tmp_path):
    given = config(base, query_prompt="query ", document_prompt="the ")
    found = train(Task.of("dense", given), PAIRS, tmp_path / "ours")
    leg = found.config.legs[0]
    assert leg.query_prompt is None and leg.document_prompt is None
    told = DenseEncoder(leg).fingerprint
    assert (told["query_prompt"], told["document_prompt"]) == ("query ", "the ")
    job = found.task.job(found.task.open(), TRAIN, TRAIN)
    assert job.options["prompts"] == {"query": "query ", "positive": "the ", "negative_1": "the "}


def test_a_first_reranker_becomes_the_last_stage_and_mines_the_texts_themselves(base, tmp_path):
    task = Task.of("reranker", config(base, reranker={"negatives": 2}), model=str(base))
    pairs = Pairs(tuple(Pair(pair.query, pair.positive) for pair in TRAIN))
    planned = plan(task, pairs)
    assert planned.mined and planned.negatives == 2 and planned.seconds > 0
    found = train(task, pairs, tmp_path / "judge")
    assert found.mined and any(pair.negatives for pair in found.mined.pairs)
    (stage,) = found.config.rerank
    assert (stage.kind, stage.model) == ("cross-encoder", str(tmp_path / "judge"))
    assert [each.name for each in found.records[1].stages.all][-1] == "judge"


def test_a_lexical_head_is_trained_on_states_that_are_computed_once_and_served(base, tmp_path):
    task = Task.of("sparse", config(base, sparse={"form": "lexical"}))
    assert task.model == str(base)  # That of the dense leg.
    found = train(task, PAIRS, tmp_path / "ours")
    assert not (tmp_path / "ours" / "states").exists()
    leg = found.config.legs[-1]
    assert (leg.kind, leg.model) == ("sparse", str(tmp_path / "ours"))
    vector = SparseEncoder(leg).encode_queries(["red pump"]).sparse[0]
    assert len(vector.indices) == 2 and found.sparsity[1].query <= 5
    assert "| after |" in (tmp_path / "ours" / "README.md").read_text(encoding="utf-8")


def test_a_teacher_scores_what_was_mined(base, tmp_path):
    teacher = bert(tmp_path / "teacher", "SequenceClassification")
    settings = {"loss": "margin-mse", "teacher": str(teacher), "negatives": 1}
    task = Task.of("dense", config(base, dense=settings))
    transformers.AutoModelForSequenceClassification.from_pretrained(
        teacher, num_labels=1, ignore_mismatched_sizes=True
    ).save_pretrained(teacher)
    found = train(task, Pairs(tuple(Pair(p.query, p.positive) for p in TRAIN)), tmp_path / "ours")
    assert found.outcome.history[-1].loss is not None and found.mined


def test_a_worse_model_is_not_named(base, tmp_path, monkeypatch):
    found = train(Task.of("dense", config(base)), PAIRS, tmp_path / "ours")
    first = next(iter(found.comparison.differences))
    worse = found.comparison.differences[first]
    object.__setattr__(worse, "after", worse.before - 0.01)
    assert not found.better and found.to_json()["better"] is False


@pytest.mark.parametrize(
    ("kind", "options", "problem"),
    [
        ("dense", {"leg": "words"}, "no dense leg 'words': there are dense, bm25"),
        ("reranker", {"leg": "dense"}, "a reranker is no leg"),
        ("sparse", {}, "no sparse leg in the configuration says which model to train"),
    ],
)
def test_what_is_to_be_trained_has_to_be_there(base, kind, options, problem):
    with pytest.raises((BadInput, ConfigError), match=problem):
        Task.of(kind, config(base), **options)


def test_folders_with_other_files_and_pairs_that_hang_together_are_refused(base, tmp_path):
    task = Task.of("dense", config(base))
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("x", encoding="utf-8")
    with pytest.raises(BadInput, match="has files that are no trained model"):
        train(task, PAIRS, tmp_path / "notes")
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(BadInput, match="is a file"):
        train(task, PAIRS, tmp_path / "file")
    alike = Pairs(tuple(Pair(f"red {n}", passage("red", "pump")) for n in "abc"))
    with pytest.raises(BadInput, match="3 pairs cannot be parted"):
        plan(task, alike)


def test_what_is_measured_by_is_no_negative_of_what_is_learned(base):
    from rag_plugins.training.plan import parts

    learned, dev = parts(Task.of("dense", config(base)), PAIRS)
    assert learned and dev
    assert not {pair.positive for pair in dev} & {text for pair in learned for text in pair.negatives}
    for pair in learned:
        assert len(pair.taught) == 1 + len(pair.negatives)


def test_dev_queries_are_searched_among_texts_that_do_not_answer():
    dev = [Pair("red pump", "a", ("b",)), Pair("red pump", "c"), Pair("green", "d")]
    found = among(dev, {str(n): f"text {n}" for n in range(2 * PASSAGES)})
    assert len(found.corpus) == PASSAGES
    (red, green) = found.qrels
    assert {found.corpus[id] for id in found.qrels[red]} == {"a", "c"}
    assert {found.corpus[id] for id in found.qrels[green]} == {"d"}
    assert found.queries == {red: "red pump", green: "green"}


@pytest.fixture(scope="module")
def parts_index(tmp_path_factory):
    settings = Config.make({"legs": [{"kind": "bm25"}], "rerank": []})
    with RagIndex.open(tmp_path_factory.mktemp("parts") / "parts.db", config=settings) as index:
        for colour, part in PARTS:
            name = f"{colour} {part}"
            index.add(
                [
                    index.passage(passage(colour, part), doc_id=name, caller_id=f"{name} 1"),
                    index.passage(f"order {name} by mail", doc_id=name, caller_id=f"{name} 2"),
                ]
            )
        yield index


def test_a_log_becomes_pairs_by_what_the_pipeline_finds_best(parts_index):
    log = [
        Question("1", "which filter is red every month", (Target("red filter"),)),
        Question("2", "how to order a green pump", (Target("green pump"),)),
        Question(
            "3", "a picture of it", (Target(passage="blue valve 2"),)
        ),  # No word of it is in the passage.
        Question("4", "by mail", (), ("order red pump",)),
        Question("5", "who knows", (Target("elsewhere"),)),
    ]
    found = pairs_of_log(parts_index, log)
    assert [(pair.query, pair.positive, pair.group) for pair in found.items] == [
        ("which filter is red every month", "every month the filter is red .", "red filter"),
        ("how to order a green pump", "order green pump by mail", "green pump"),
        ("a picture of it", "order blue valve by mail", "blue valve"),
        ("by mail", "order red pump by mail", "red pump"),
    ]
    assert len(found.corpus) == 2 * len(PARTS)
    (told,) = found.bad
    assert "who knows" in told and "elsewhere" in told


def test_a_log_of_other_documents_is_refused(parts_index):
    with pytest.raises(BadInput, match="no question is about what is in the collection"):
        pairs_of_log(parts_index, [Question("5", "who knows", (Target("elsewhere"),))])


def test_a_file_keeps_what_it_has_and_names_the_model(base, tmp_path):
    path = tmp_path / "pipeline.toml"
    dense = '[[legs]]\nkind = "dense"\nmodel = "all-MiniLM-L6-v2"  # The old one.\n'
    path.write_text(f'# Ours.\n{dense}\n[[legs]]\nkind = "bm25"\nk1 = 1.5\n', encoding="utf-8")
    given = Config.from_toml(path)
    served = Task.of("dense", given).served(base, (384, 96))
    write_model(path, served, given)
    assert Config.from_toml(path) == served
    kept = path.read_text(encoding="utf-8")
    assert kept.startswith("# Ours.\n") and "k1 = 1.5" in kept
    more = Task.of("sparse", served, model=str(base)).served(base)
    write_model(path, more, served)
    judged = Task.of("reranker", more).served(base)
    write_model(path, judged, more)
    assert Config.from_toml(path) == judged
    assert [leg.kind for leg in judged.legs] == ["dense", "bm25", "sparse"]
    assert [stage.kind for stage in judged.rerank] == ["late-interaction", "cross-encoder"]


def test_a_file_of_another_pipeline_is_left_as_it_is(base, tmp_path):
    path = tmp_path / "pipeline.toml"
    text = 'rerank = []\n[[legs]]\nkind = "bm25"\n'
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="other legs or rerank stages"):
        write_model(path, Task.of("dense", config(base)).served(base, (64,)))
    assert path.read_text(encoding="utf-8") == text


def test_pairs_of_a_file_are_planned_without_writing(base, tmp_path):
    path = tmp_path / "pairs.jsonl"
    lines = [json.dumps({"query": pair.query, "positive": pair.positive}) for pair in TRAIN]
    path.write_text("\n".join([*lines, '{"query": "alone"}']), encoding="utf-8")
    planned = plan(Task.of("dense", config(base)), read_pairs(path))
    assert planned.train + planned.dev == len(TRAIN) and planned.widths == (64, 16)
    assert planned.steps == 2 * -(-planned.train // 9)
    assert planned.bad == ("pairs.jsonl, line 28: expected a positive",)
    assert sorted(tmp_path.iterdir()) == [path]
