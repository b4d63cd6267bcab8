import pickle

import pytest

from rag_plugins import errors
from rag_plugins.errors import BadDocument, BadQuery, DataLost, MissingExtra, RagPluginsError, require
from rag_plugins.text import clean


def test_every_error_is_in_the_one_tree_and_drawn_in_it():
    for name in errors.__all__:
        if isinstance(kind := getattr(errors, name), type):
            assert issubclass(kind, RagPluginsError)
            assert name in errors.__doc__


def test_a_missing_extra_says_how_to_install_it():
    with pytest.raises(MissingExtra, match=r"pip install 'rag-plugins\[ocr\]'"):
        require("surely_not_installed", "ocr")
    with pytest.raises(ImportError):
        require("surely_not_installed.part", "ocr")


def test_a_broken_dependency_keeps_its_own_message(tmp_path, monkeypatch):
    (tmp_path / "half_installed.py").write_text("import what_it_needs")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="what_it_needs") as caught:
        require("half_installed", "ocr")
    assert not isinstance(caught.value, MissingExtra)


def test_require_gives_the_module():
    assert require("json", "ocr").loads("1") == 1


def test_a_bad_document_says_where_and_travels_between_processes():
    error = BadDocument("a.pdf", 3, "no text")
    assert str(error) == "a.pdf, page 3: no text"
    assert str(BadDocument("a.pdf", None, "empty file")) == "a.pdf: empty file"
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.file, copy.page, copy.reason) == ("a.pdf", 3, "no text")


def test_a_bad_query_travels_between_processes():
    error = BadQuery('"open', 0, "the quote has no end")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is BadQuery and str(copy) == str(error)


def test_what_is_lost_travels_between_processes():
    error = DataLost("2 passages are not there", {"a.pdf": 2})
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is DataLost and str(copy) == "2 passages are not there"
    assert copy.documents == {"a.pdf": 2}


def test_clean_keeps_layout_and_drops_what_nothing_can_store():
    assert clean("a\tb\nc\x00d\x1b[0me\ud800f 中文 🙂") == "a\tb\ncd[0me\ufffdf 中文 🙂"
