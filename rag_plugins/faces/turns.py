"""Searches of one event loop take turns."""

from __future__ import annotations

import asyncio

__all__ = ["AT_ONCE", "turn"]

AT_ONCE = 4
"""Searches in threads at a time. More are no faster, and each that waits for the interpreter's lock keeps the
loop waiting for up to 5 ms: 36 of fifty at once held it for 0.1 to 0.3 s, 4 for 0.03 s."""

_turns: dict[asyncio.AbstractEventLoop, asyncio.Semaphore] = {}


def turn() -> asyncio.Semaphore:
    """What a coroutine holds (`async with`) while its search is in a thread."""
    loop = asyncio.get_running_loop()
    if loop not in _turns:
        for closed in [each for each in list(_turns) if each.is_closed()]:
            _turns.pop(closed, None)
        _turns[loop] = asyncio.Semaphore(AT_ONCE)
    return _turns[loop]
