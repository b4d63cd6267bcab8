"""What is installed is recent enough to be safe, and nothing here loads or runs what came with data."""

import ast
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOWEST = dict(
    line.split("==")
    for line in (ROOT / "requirements-lowest.txt").read_text(encoding="utf-8").splitlines()
    if "==" in line
)
FLOORS = [
    ("pillow", "12.3", "decoders of images that anyone may have made"),
    ("torch", "2.10", "torch.load(weights_only=True) ran code before"),
    ("sentence-transformers", "6.0", "folders of models ran code before"),
    ("transformers", "5.2.1", "code of models ran without being asked for up to 5.2"),
    ("langchain-core", "1.3.3", "load() made objects of classes that a dump names"),
    ("jinja2", "3.1.6", "templates broke out of their sandbox"),
    ("lxml", "6.0", "parses pages from anywhere"),
    ("starlette", "1.7", "answers for broken uploads"),
]
SOURCES = sorted((ROOT / "rag_plugins").rglob("*.py"))


def requirements(name):
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    found = [Requirement(text) for group in groups for text in group]
    return [requirement for requirement in found if canonicalize_name(requirement.name) == name]


@pytest.mark.parametrize(("name", "floor", "why"), FLOORS, ids=[name for name, *_ in FLOORS])
def test_floors_are_safe(name, floor, why):
    declared = requirements(name)
    assert declared, name
    for requirement in declared:
        lowest = [
            Version(clause.version) for clause in requirement.specifier if clause.operator in (">=", "==")
        ]
        assert lowest and min(lowest) >= Version(floor), f"{requirement}: {why}"
    if name in LOWEST:
        assert Version(LOWEST[name]) >= Version(floor), why
    try:
        assert Version(version(name)) >= Version(floor), why
    except PackageNotFoundError:
        pytest.skip(f"{name} is not installed")


LOADERS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "yaml", "imp"}
FETCHERS = {"requests", "urllib.request", "urllib3", "httpx", "aiohttp", "http.client", "ftplib", "wget"}
CALLS = {"eval", "exec", "__import__", "os.system", "os.popen", "tempfile.mktemp", "np.fromstring"}
PERMITTED = {"False", "trusted", "source.code is not None"}
"""What `trust_remote_code` may be: what `own_code.loadable` has found permitted, at a pinned commit."""


def dotted(node):
    match node:
        case ast.Name(id):
            return id
        case ast.Attribute(value, attr):
            return f"{dotted(value)}.{attr}"
    return ""


def imports(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
        elif isinstance(node, ast.Call) and dotted(node.func).split(".")[-1] in ("require", "import_module"):
            yield from (part.value for part in node.args[:1] if isinstance(part, ast.Constant))


def unsafe(source):
    """What of a module loads objects, runs text, starts a shell or fetches an address."""
    tree = ast.parse(source)
    for name in imports(tree):
        if {name, name.split(".")[0]} & (LOADERS | FETCHERS):
            yield f"imports {name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from _unsafe_call(dotted(node.func), {word.arg: word.value for word in node.keywords})
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "trust_remote_code":
                    yield from _trust(value)


def _trust(value):
    if ast.unparse(value) not in PERMITTED:
        yield f"trust_remote_code = {ast.unparse(value)}"


def _unsafe_call(name, words):
    constants = {word: value.value for word, value in words.items() if isinstance(value, ast.Constant)}
    if name in CALLS:
        yield f"calls {name}"
    if name == "torch.load" and constants.get("weights_only") is not True:
        yield "torch.load of more than weights"
    if name.endswith((".load", ".memmap")) and constants.get("allow_pickle"):
        yield "numpy with pickles"
    if constants.get("shell"):
        yield f"{name} with a shell"
    if "allowed_objects" in words:
        yield f"{name} of any object"
    if "trust_remote_code" in words:
        yield from _trust(words["trust_remote_code"])


@pytest.mark.parametrize("path", SOURCES, ids=[path.relative_to(ROOT).as_posix() for path in SOURCES])
def test_nothing_here_loads_or_runs_what_it_is_given(path):
    assert not list(unsafe(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "require('yaml', extra='x')",
        "import urllib.request",
        "eval(text)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "subprocess.run(text, shell=True)",
        "load(dump, allowed_objects='all')",
        "AutoModel.from_pretrained(path, trust_remote_code=True)",
        "options = {'trust_remote_code': True}",
        "tempfile.mktemp()",
    ],
)
def test_the_search_finds_what_it_is_for(source):
    assert list(unsafe(source))
