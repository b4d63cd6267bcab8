"""The tests that docs/reliability.md names are there."""

import re
from pathlib import Path

TESTS = Path(__file__).parent.parent
NAMED = re.compile(r"`(test_\w+\.py)(?:::(test_\w+))?`(?: in `tests/(\w+)`)?")


def test_every_test_that_the_page_names_is_there():
    page = (TESTS.parent / "docs" / "reliability.md").read_text()
    named = NAMED.findall(page)
    assert len(named) > 50
    for file, test, folder in named:
        (path,) = (TESTS / folder).rglob(file)
        assert f"def {test}(" in path.read_text() if test else True, (file, test)


def test_every_long_test_stands_on_the_page():
    page = (TESTS.parent / "docs" / "reliability.md").read_text()
    long = re.compile(r"@pytest\.mark\.faults\n(?:@.*\n|    .*\n|\)\n)*def (test_\w+)\(")
    found = [name for path in (TESTS / "faults").glob("test_*.py") for name in long.findall(path.read_text())]
    assert len(found) > 8
    assert [name for name in found if name not in page] == []
