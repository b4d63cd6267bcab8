"""The commands on a small collection, by keywords alone: no model is loaded."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import pytest
from PIL import Image, ImageDraw, ImageFont
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen.canvas import Canvas

from rag_plugins import Config, RagIndex, __version__

PROGRAM = Path(sys.executable).with_name("rag-plugins")
EXAMPLES = Path(__file__).parents[2] / "rag_plugins/demo/documents"

Shell = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli") / "parts.db"
    with RagIndex.open(path, preset="lexical") as index:
        index.add(
            [
                index.passage("The valve is brass.", doc_id="a", metadata={"year": 2020, "part": "0862"}),
                index.passage("The valve is steel.", doc_id="b", metadata={"year": 2021, "part": "862"}),
                index.passage("The valve is gone.", doc_id="c", metadata={"year": 2021.5, "draft": True}),
            ]
        )
    return path


def found(out: str) -> set[str]:
    return {hit["doc_id"] for hit in json.loads(out.splitlines()[-1])["hits"]}


def test_help_names_every_command_and_is_quick() -> None:
    """Under .5 s of the processor's time, whatever else the machine does; measured .2 s."""
    times = []
    for _ in range(3):
        before = os.times()
        shown = subprocess.run([PROGRAM, "--help"], check=True, capture_output=True, text=True).stdout
        after = os.times()
        times.append(sum(after[2:4]) - sum(before[2:4]))
    assert all(name in shown for name in ("demo", "ingest", "search", "dictionary", "evaluate", "presets"))
    assert median(times) < 0.5


def test_version(shell: Shell) -> None:
    assert shell("--version") == (0, f"rag-plugins {__version__}\n", "")


def test_presets_show_pipelines_models_and_rerankers(shell: Shell) -> None:
    code, out, _ = shell("presets")
    assert code == 0
    for expected in (
        "local-qa",
        "late-interaction",
        "all-MiniLM-L6-v2",
        "384",
        "ms-marco-MiniLM-L-6-v2",
        "Apache-2.0",
    ):
        assert expected in out


class TestIngest:
    def test_a_folder_its_bad_file_and_a_second_run(self, shell: Shell, tmp_path: Path) -> None:
        folder = tmp_path / "scans"
        folder.mkdir()
        (folder / "notes.txt").write_text("The filter is changed every two years.", encoding="utf-8")
        (folder / "broken.png").write_bytes(b"no image")
        db = tmp_path / "x.db"
        code, out, _ = shell("ingest", folder, "--into", db, "--preset", "lexical")
        assert code == 0
        assert "1 stored" in out
        assert "pages/s" in out
        assert "broken.png" in out

        code, out, _ = shell("ingest", folder / "notes.txt", "--into", db, "--preset", "lexical")
        assert code == 0
        assert "1 unchanged" in out
        assert "1 in the collection" in out

    def test_nothing_readable_is_exit_code_1(self, shell: Shell, tmp_path: Path) -> None:
        code, out, _ = shell(
            "ingest", tmp_path / "absent.pdf", "--into", tmp_path / "x.db", "--preset", "lexical"
        )
        assert code == 1
        assert "absent.pdf" in out

    def test_the_languages_reach_the_ocr(self, shell: Shell, tmp_path: Path) -> None:
        guide = EXAMPLES / "guide-zh.png"
        db = tmp_path / "zh.db"
        code, out, _ = shell("ingest", guide, "--into", db, "--preset", "lexical", "--language", "chi_sim")
        assert code == 0
        assert re.search(r"by OCR +1, mean confidence 0\.[5-9]", out)
        _, out, _ = shell("search", db, "过滤器", "-k", 1, "--preset", "lexical", "--json")
        assert "过滤器" in json.loads(out.splitlines()[-1])["hits"][0]["text"]

    def test_a_locked_pdf_is_opened_by_a_password_and_counted_by_kind(
        self, shell: Shell, tmp_path: Path
    ) -> None:
        canvas = Canvas(str(tmp_path / "locked.pdf"), encrypt=StandardEncryption("open sesame"))
        canvas.drawString(50, 500, "The coolant pump is bolted to the frame.")
        canvas.save()
        arguments = ("ingest", tmp_path / "*.pdf", "--into", tmp_path / "x.db", "--preset", "lexical")
        code, out, err = shell(*arguments, "--password", "canary")
        assert code == 1 and re.search(r"failed +0 pages, 1 file\b", out)
        assert "encrypted" in out and "canary" not in out + err
        code, out, err = shell(*arguments, "--password", "canary", "--password", "open sesame")
        assert code == 0 and re.search(r"by text layer +1\b", out)
        assert "sesame" not in out + err

    def test_a_bad_language_is_refused(self, shell: Shell, tmp_path: Path) -> None:
        code, _, err = shell("ingest", tmp_path, "--into", tmp_path / "x.db", "--language", "-psm 0")
        assert code == 1
        assert err.startswith("rag-plugins: ocr.languages")

    def test_ctrl_c_ends_it_quietly_and_the_next_run_completes_it(self, shell: Shell, tmp_path: Path) -> None:
        """As a terminal does it: the signal goes to the whole process group."""
        folder = tmp_path / "many"
        folder.mkdir()
        for number in range(12):
            _page(f"Page number {number} says so.").save(folder / f"{number:02}.png")
        arguments = ["ingest", folder, "--into", tmp_path / "x.db", "--preset", "lexical"]
        heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # Jobs of a script ignore it otherwise.
        process = subprocess.Popen(
            [PROGRAM, *arguments],
            stdout=-1,
            stderr=-1,
            text=True,
            start_new_session=True,
            preexec_fn=heard,
        )
        while not (tmp_path / "x.db.assets").exists() and process.poll() is None:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out) == (130, "")
        assert "Traceback" not in err and "the same command goes on there" in err

        code, out, _ = shell(*arguments)
        assert code == 0
        assert "12 in the collection" in out


def _page(text: str) -> Image.Image:
    page = Image.new("L", (700, 120), 255)
    ImageDraw.Draw(page).text((20, 30), text, fill=0, font=ImageFont.load_default(40))
    return page


class TestSearch:
    def test_shows_the_passage_where_it_is_from_and_the_trace(self, shell: Shell, db: Path) -> None:
        code, out, _ = shell("search", db, "brass valve", "-k", "1", "--preset", "lexical")
        assert code == 0
        assert "The valve is brass." in out
        assert "1. a" in out
        assert "bm25 #1" in out

    def test_json_is_the_last_line(self, shell: Shell, db: Path) -> None:
        _, out, _ = shell("search", db, "valve", "--preset", "lexical", "--leg", "bm25", "--json")
        hits = json.loads(out.splitlines()[-1])["hits"]
        assert len(hits) == 3
        assert {"text", "metadata", "score", "trace", "doc_id", "passage_id"} <= set(hits[0])
        assert hits[0]["trace"][0]["stage"] == "bm25"

    @pytest.mark.parametrize(
        ("conditions", "expected"),
        [
            (["year=2020"], {"a"}),
            (["year=2021.5"], {"c"}),
            (["draft=true"], {"c"}),
            (["part=0862"], {"a"}),  # No number in JSON: text.
            (["part=862"], set()),  # A number, and the value is text …
            (['part="862"'], {"b"}),  # … so it has to be quoted.
            (["year=2020", "year=2021"], {"a", "b"}),
            (["year=2020", "part=0862"], {"a"}),
            (["year=2021", "part=0862"], set()),
            (["doc_id=b"], {"b"}),
            (["part=a=b"], set()),
            (["year=NaN"], set()),
        ],
    )
    def test_where(self, shell: Shell, db: Path, conditions: list[str], expected: set[str]) -> None:
        options = [option for condition in conditions for option in ("--where", condition)]
        code, out, _ = shell("search", db, "valve", "--preset", "lexical", "--json", *options)
        assert (code, found(out)) == (0, expected)

    def test_also_other_wordings(self, shell: Shell, db: Path) -> None:
        search = (
            "search",
            db,
            "brass",
            "--also",
            "steel",
            "--also",
            "gon*",
            "--rules",
            "--preset",
            "lexical",
        )
        code, out, _ = shell(*search, "--json")
        *shown, last = out.splitlines()
        assert (code, found(out)) == (0, {"a", "b", "c"})
        assert "minmax of the queries #1" in out and any(line.startswith("gon*: bm25 #1") for line in shown)
        traces = [hit["trace"] for hit in json.loads(last)["hits"]]
        assert {stage["query"] for trace in traces for stage in trace if "query" in stage} == {
            "brass",
            "steel",
            "gon*",
        }

    def test_nothing_found_says_so(self, shell: Shell, db: Path) -> None:
        code, out, _ = shell("search", db, "zeppelin", "--preset", "lexical")
        assert (code, out) == (0, "Nothing was found.\n")

    def test_a_database_may_hold_several_collections(self, shell: Shell, db: Path, tmp_path: Path) -> None:
        (tmp_path / "letters.txt").write_text("A letter about gaskets.")
        ingested = ("ingest", tmp_path / "letters.txt", "--into", db, "--collection", "letters")
        assert shell(*ingested, "--preset", "lexical")[0] == 0
        search = ("search", db, "gaskets", "--preset", "lexical")
        assert "A letter about gaskets." in shell(*search, "--collection", "letters")[1]
        assert "A letter about gaskets." not in shell(*search)[1]

    def test_another_tenant_finds_nothing(self, shell: Shell, db: Path) -> None:
        assert "brass" not in shell("search", db, "brass", "--preset", "lexical", "--tenant", "other")[1]


class TestErrors:
    """One readable line on stderr, no traceback."""

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--preset", "nonsense"], "known are local"),
            (["--preset", "lexical", "--where", "a b=1"], "metadata key"),
            (["--preset", "lexical", "--leg", "dense"], "bm25"),
        ],
    )
    def test_of_the_project_exit_with_1(
        self, shell: Shell, db: Path, arguments: list[str], message: str
    ) -> None:
        code, out, err = shell("search", db, "valve", *arguments)
        assert (code, out) == (1, "")
        assert message in err
        assert len(err.splitlines()) == 1

    def test_of_usage_exit_with_2(self, shell: Shell, tmp_path: Path, db: Path) -> None:
        assert shell("search", tmp_path / "absent.db", "valve")[0] == 2
        assert not (tmp_path / "absent.db").exists()
        assert shell("search", db, "valve", "--where", "year")[0] == 2
        assert shell("search", db, "valve", "--preset", "lexical", "--config", "x.toml")[0] == 2
        assert shell("search", db)[0] == 2

    def test_a_bad_configuration_names_file_and_key(self, shell: Shell, db: Path, tmp_path: Path) -> None:
        config = tmp_path / "x.toml"
        config.write_text("[fusion]\nmetod = 'rrf'\n", encoding="utf-8")
        code, _, err = shell("search", db, "valve", "--config", config)
        assert code == 1
        assert "x.toml: fusion.metod" in err

    def test_a_collection_of_other_models_is_refused(self, shell: Shell, db: Path, tmp_path: Path) -> None:
        config = tmp_path / "x.toml"
        config.write_text("[[legs]]\nkind = 'bm25'\ncjk = 'jieba'\n[[rerank]]\nkind = 'cross-encoder'\n")
        code, _, err = shell("search", db, "valve", "--config", config)
        assert code == 1
        assert "Traceback" not in err


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    texts = {"d1": "The valve is brass.", "d2": "The pump is steel.", "d3": "Nothing else."}
    lines = [json.dumps({"_id": id, "title": "", "text": text}) for id, text in texts.items()]
    (tmp_path / "corpus.jsonl").write_text("\n".join(lines), encoding="utf-8")
    queries = [{"_id": "q1", "text": "brass valve"}, {"_id": "q2", "text": "steel pump"}]
    (tmp_path / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)), encoding="utf-8")
    (tmp_path / "qrels.tsv").write_text(
        "query-id\tcorpus-id\tscore\nq1\td1\t1\nq2\td2\t1\n", encoding="utf-8"
    )
    return tmp_path


class TestEvaluate:
    def test_a_table_and_json_last(self, shell: Shell, folder: Path) -> None:
        code, out, _ = shell("evaluate", folder, "--preset", "lexical", "--json")
        assert code == 0
        assert "nDCG@10" in out.splitlines()[2]
        result = json.loads(out.splitlines()[-1])
        assert (result["funnels"], result["funnel_off"]) == ({}, None)
        assert result["legs"]["bm25"] == {
            name: 1.0 for name in ("nDCG@10", "MRR@10", "MAP@100", "Recall@10", "Recall@100")
        }
        assert (result["reranked"], result["queries"], result["passages"]) == (None, 2, 3)

    def test_some_queries_and_chunks(self, shell: Shell, folder: Path) -> None:
        _, out, _ = shell("evaluate", folder, "--preset", "lexical", "--queries", 1, "--chunk", "--json")
        assert json.loads(out.splitlines()[-1])["queries"] == 1

    def test_a_folder_without_a_corpus_is_one_line(self, shell: Shell, tmp_path: Path) -> None:
        code, _, err = shell("evaluate", tmp_path, "--preset", "lexical")
        assert code == 2 and "corpus.jsonl" in err


class TestOcrCeiling:
    """On the same three texts, one of which is a page too."""

    @pytest.fixture
    def pages(self, folder: Path) -> Path:
        _page("The valve is brass.").save(folder / "valve.png")
        lines = [json.loads(line) for line in (folder / "corpus.jsonl").read_text().splitlines()]
        lines[0]["image"] = "valve.png"
        (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
        queries = [{"_id": "q1", "text": "brass valve", "answers": ["brass"]}]
        (folder / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)), encoding="utf-8")
        (folder / "models_of_mine.py").write_text("def make():\n    return lambda prompt, images: 'Brass.'\n")
        return folder

    def test_a_table_a_plot_and_json_last(
        self, shell: Shell, pages: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(pages)  # Where the module of the LLM is.
        options = ["--noise", 5, "--noise", 12.5, "--llm", "models_of_mine:make", "--answer-from", "both"]
        code, out, _ = shell(
            "evaluate",
            pages,
            "--ocr-ceiling",
            "--preset",
            "lexical",
            *options,
            "--plot",
            "cost.png",
            "--json",
        )
        assert code == 0
        assert "dual gives back" in out and "The plot: cost.png" in out
        assert (pages / "cost.png").read_bytes().startswith(b"\x89PNG")
        result = json.loads(out.splitlines()[-1])
        texts = [level["text"] for level in result["levels"]]
        assert texts == ["true text", "OCR", "noise 5 %", "noise 12.5 %"]
        assert result["answer_from"] == {"both": {"accuracy": 1.0, "questions": 1, "failed": 0}}

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--plot", "x.png"], "--plot: only with --ocr-ceiling"),
            (["--ocr-ceiling", "--chunk"], "--chunk: not with"),
            (["--ocr-ceiling", "--llm", "json:loads"], "go together"),
            (["--ocr-ceiling", "--llm", "json", "--answer-from", "ocr"], "expected MODULE:FACTORY"),
            (["--ocr-ceiling", "--llm", "json:absent", "--answer-from", "ocr"], "no attribute"),
            (["--ocr-ceiling", "--llm", "no_such_one:x", "--answer-from", "ocr"], "No module"),
            (["--ocr-ceiling", "--answer-from", "memory"], "memory"),
            (["--ocr-ceiling", "--noise", "60"], "50"),
        ],
    )
    def test_options_that_make_no_sense(
        self, shell: Shell, folder: Path, options: list[str], message: str
    ) -> None:
        code, _, err = shell("evaluate", folder, "--preset", "lexical", *options)
        assert code == 2 and message in " ".join(err.replace("│", "").split())


def test_a_configuration_file_is_what_opens(shell: Shell, tmp_path: Path) -> None:
    config = tmp_path / "lexical.toml"
    config.write_text("legs = [{kind = 'bm25'}]\n[[rerank]]\nkind = 'late-interaction'\n", encoding="utf-8")
    assert shell("evaluate", tmp_path, "--config", config)[0] == 1  # Refused: it has no dense leg.
    assert Config.preset("lexical").rerank == ()


def test_search_with_rules_explains_what_matched(shell: Shell, db: Path) -> None:
    code, out, _ = shell(
        "search", db, "bras* steal~1 zzz*", "--rules", "--explain", "--preset", "lexical", "--json"
    )
    assert code == 0 and found(out) == {"a", "b"}
    result = json.loads(out.splitlines()[-1])
    assert {hit["terms"]["bm25"][0]["rule"] for hit in result["hits"]} == {"bras*", "steal~1"}
    assert len(result["notices"]) == 1 and "zzz*" in result["notices"][0]


def test_a_malformed_rule_is_an_error_that_points_at_it(shell: Shell, db: Path) -> None:
    code, _, err = shell("search", db, 'brass "valve', "--rules", "--preset", "lexical")
    assert code == 1 and "character 7" in err and "^" in err


def test_dictionary_is_made_from_a_collection_and_used_by_another(shell: Shell, tmp_path: Path) -> None:
    source, made = tmp_path / "notes.txt", tmp_path / "terms.toml"
    source.write_text(
        "Bowl feeder care. Clean the bowl feeder. A bowl feeder (BF) is loud.\n" * 3, encoding="utf-8"
    )
    assert shell("ingest", source, "--into", tmp_path / "a.db", "--preset", "lexical")[0] == 0
    code, out, _ = shell("dictionary", tmp_path / "a.db", "--into", made, "--preset", "lexical")
    assert code == 0 and "kept whole" in out and "bowl feeder" in made.read_text(encoding="utf-8")
    assert shell("dictionary", tmp_path / "a.db", "--into", made, "--preset", "lexical")[0] == 2
    config = tmp_path / "rag.toml"
    config.write_text(
        '[[legs]]\nkind = "bm25"\ndictionary = "terms.toml"\n[[rerank]]\nkind = "cross-encoder"\n'
    )
    code, _, err = shell("search", tmp_path / "a.db", "bowl feeder", "--config", config)
    assert code == 1 and "dictionary words" in err
