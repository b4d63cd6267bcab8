"""What the report says of the parts."""

import pytest

from rag_plugins.config import FusionConfig
from rag_plugins.demo.facts import _fusion


@pytest.mark.parametrize("method", ["adaptive", "minmax", "zscore", "dbsf", "rrf"])
def test_every_way_of_fusing_has_words(method):
    said = _fusion(FusionConfig(method=method))
    assert ("evidence" in said) == (method == "adaptive") and ("k 60" in said) == (method == "rrf")
