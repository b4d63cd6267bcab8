"""Settings and dictionaries of any shape: taken, or refused as `ConfigError`."""

import tomllib

import pytest
import tomlkit
from faults_support_fuzz import long, short
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from rag_plugins.config import PIPELINES, Config
from rag_plugins.errors import ConfigError
from rag_plugins.models.lexicon import DomainDictionary

DEEP = "[" * 3000
ODD = [
    None,
    "",
    "auto",
    "off",
    "~nobody/at/home",
    "a\0b",
    "\ud800",
    "é" * 500,
    True,
    -1,
    0,
    1,
    2**63,
    10**400,
]
ODD += [
    -0.5,
    1e308,
    float("inf"),
    float("nan"),
    [],
    {},
    [[1]],
    [[96, 200], [384]],
    {"a": {}},
    b"a",
    {1},
    object(),
]


def names_of(model: type[BaseModel], seen: set[type]) -> set[str]:
    """All keys that a configuration can have, however deep."""
    if model in seen:
        return set()
    seen.add(model)
    inner = [value for field in model.model_fields.values() for value in models_in(field.annotation)]
    return set(model.model_fields).union(*(names_of(other, seen) for other in inner))


def models_in(annotation) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in models_in(part)]


NAMES = sorted(names_of(Config, set()))
KINDS = [
    "dense",
    "bm25",
    "sparse",
    "image",
    "page-tokens",
    "robust",
    "cross-encoder",
    "late-interaction",
    "given",
]
scalars = st.sampled_from(ODD) | st.sampled_from(KINDS) | st.integers() | st.floats() | st.text(max_size=9)
keys = st.sampled_from([*NAMES, "kind", "unheard_of", "", "class", "arguments", "api_key"])
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(keys, inner, max_size=4),
        st.tuples(st.sampled_from(KINDS), st.dictionaries(keys, inner, max_size=3)).map(
            lambda pair: [{**pair[1], "kind": pair[0]}]
        ),
    ),
    max_leaves=12,
)
configs = st.dictionaries(st.sampled_from(sorted(Config.model_fields)) | keys, values, max_size=4)
SOUND = [config.model_dump(mode="json", exclude_none=True) for config in PIPELINES.values()]


@st.composite
def changed(draw):
    """A pipeline that works, with one value in it replaced by any other."""
    config = draw(st.sampled_from(SOUND))
    path = draw(st.lists(st.integers(0, 9), min_size=1, max_size=4))
    return replaced(config, path, draw(values))


def replaced(value, path, new):
    if not path or not isinstance(value, dict | list) or not value:
        return new
    if isinstance(value, list):
        at = path[0] % len(value)
        return [replaced(item, path[1:], new) if n == at else item for n, item in enumerate(value)]
    at = list(value)[path[0] % len(value)]
    return {key: replaced(item, path[1:], new) if key == at else item for key, item in value.items()}


def made(values):
    try:
        config = Config.make(values)
    except ConfigError as error:
        assert 0 < len(str(error)) < 20_000
    else:
        assert Config.make(config.model_dump()) == config or "nan" in repr(config)


TOML = [tomlkit.dumps(config) for config in SOUND]
TERMS = (
    'stop_words = ["please"]\n[terms]\n"error code" = {weight = 2.0, synonyms = ["fault"]}\n"过滤器" = {}\n'
)
CSV = "term,weight,synonyms\nerror code,2.0,fault code;trouble code\n过滤器,,\nplease,0,\n"
PIECES = [
    "[",
    "[[",
    "]]",
    "{",
    "}",
    '"',
    '"""',
    "'",
    "=",
    "\n",
    "#",
    "\\",
    "\0",
    ",",
    "nan",
    "1e999",
    "\r",
    "\ufeff",
]
PIECES += [DEEP, "9" * 5000, "a." * 300, "1979-05-27T07:32:00", "\\ud800", "{a=" * 2000, "legs", '"""\\']


@st.composite
def damaged(draw, texts):
    """Bytes of a file that was sound, cut and filled with what its syntax is made of."""
    data = draw(st.sampled_from(texts)).encode()
    for _ in range(draw(st.integers(1, 5))):
        at, length = draw(st.integers(0, len(data))), draw(st.integers(0, 9))
        piece = draw(st.sampled_from(PIECES).map(str.encode) | st.binary(max_size=4))
        data = data[:at] + piece + data[at + length :]
    return data


def read(folder, name, data, reader, given):
    """As the reader has it, or `ConfigError` that names the file."""
    path = folder / name
    path.write_bytes(data)
    try:
        assert isinstance(reader(path), given)
    except ConfigError as error:
        assert str(path) in str(error)


@short(150)
@given(configs | changed())
def test_settings_of_any_shape(values):
    made(values)


@short(60)
@given(damaged(TOML), damaged([TERMS]), damaged([CSV]))
def test_damaged_files_of_settings(tmp_path, config, toml, csv):
    read(tmp_path, "rag.toml", config, Config.from_toml, Config)
    read(tmp_path, "terms.toml", toml, DomainDictionary.from_file, DomainDictionary)
    read(tmp_path, "terms.csv", csv, DomainDictionary.from_file, DomainDictionary)


@pytest.mark.faults
@pytest.mark.timeout(1200)
@long(20_000)
@given(configs | changed())
def test_settings_of_any_shape_long(values):
    made(values)


@pytest.mark.faults
@pytest.mark.timeout(1200)
@long(6000)
@given(damaged(TOML), damaged([TERMS]), damaged([CSV]))
def test_damaged_files_of_settings_long(tmp_path, config, toml, csv):
    read(tmp_path, "rag.toml", config, Config.from_toml, Config)
    read(tmp_path, "terms.toml", toml, DomainDictionary.from_file, DomainDictionary)
    read(tmp_path, "terms.csv", csv, DomainDictionary.from_file, DomainDictionary)


@pytest.mark.parametrize(
    "text",
    [f"a = {DEEP}", "a = " + "{a = " * 3000, "a = " + "9" * 5000, 'a = "\\ud800"', "\0"],
    ids=["arrays", "tables", "digits", "surrogate", "NUL"],
)
def test_toml_that_python_gives_up_on(tmp_path, text):
    """Nesting raised `RecursionError`, a number of 5000 digits `ValueError`."""
    for name, reader in (("rag.toml", Config.from_toml), ("terms.toml", DomainDictionary.from_file)):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError, match=name):
            reader(path)


@pytest.mark.parametrize("name", ["a\0b.toml", "x" * 300 + ".toml", "."])
def test_names_that_no_file_has(name):
    with pytest.raises(ConfigError):
        Config.from_toml(name)
    with pytest.raises(ConfigError):
        DomainDictionary.from_file(name)


def test_a_dictionary_of_nobody(tmp_path):
    path = tmp_path / "rag.toml"
    path.write_text('rerank = []\n[[legs]]\nkind = "bm25"\ndictionary = "~nobody-of-this-name/terms.csv"\n')
    with pytest.raises(ConfigError, match=r"rag\.toml"):
        Config.from_toml(path)


@pytest.mark.parametrize("funnel", [5, None, [5], object(), [None], [[]], [[1, 2, 3]], b"auto"])
def test_a_funnel_of_other_things(funnel):
    """Numbers raised `TypeError`: what is no list cannot be iterated over."""
    with pytest.raises(ConfigError, match="funnel"):
        Config.make({"legs": [{"kind": "dense", "funnel": funnel}]})


def test_a_quote_that_is_not_closed_in_a_head_line(tmp_path):
    """Of a table's head it was `csv.Error`."""
    path = tmp_path / "terms.csv"
    path.write_text('"term,weight\n')
    with pytest.raises(ConfigError, match=r"terms\.csv: line 1: unexpected end of data"):
        DomainDictionary.from_file(path)


def test_the_fuzz_begins_with_what_is_sound():
    for text in TOML:
        Config.make(tomllib.loads(text))
    assert len(NAMES) > 60
