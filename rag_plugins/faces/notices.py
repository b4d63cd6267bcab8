"""What there is to say of a search, where a framework's list has no place for it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

__all__ = ["log_notices"]


def log_notices(notices: Sequence[str], logger: logging.Logger) -> None:
    """Say above DEBUG only that there are notices: they may quote the query."""
    if notices:
        logger.warning("%d notices on what was found, logged at DEBUG", len(notices))
    for notice in notices:
        logger.debug("%s", notice)
