"""requirements-lowest.txt, which `make test-lowest` installs, is what pyproject.toml promises."""

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
COMMENT, *LINES = (ROOT / "requirements-lowest.txt").read_text(encoding="utf-8").splitlines()
INSTALLED = dict(line.split("==") for line in LINES)
LEFT_OUT = set(COMMENT.partition("Not here: ")[2].split())


def promised() -> dict[str, Version]:
    """The lower bound of every direct dependency."""
    extras = PROJECT["optional-dependencies"].values()
    requirements = [Requirement(text) for group in (PROJECT["dependencies"], *extras) for text in group]
    return {
        canonicalize_name(requirement.name): min(
            Version(clause.version) for clause in requirement.specifier if clause.operator in {">=", "=="}
        )
        for requirement in requirements
        if requirement.name != PROJECT["name"]
    }


@pytest.mark.parametrize(("name", "lowest"), [pair for pair in promised().items() if pair[0] not in LEFT_OUT])
def test_a_lowest_version_is_what_is_tested(name: str, lowest: Version) -> None:
    assert Version(INSTALLED.get(name, "0")) == lowest, "run scripts/lowest, or raise the bound"


def test_what_is_left_out_is_a_dependency_and_only_heavy_ones_are() -> None:
    assert LEFT_OUT <= promised().keys()
    assert not LEFT_OUT & {"langchain-core", "llama-index-core", "pymilvus"}
