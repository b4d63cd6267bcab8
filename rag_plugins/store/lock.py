"""Who holds a database file, as far as the system tells."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["holder"]

_LOCKS = Path("/proc/locks")
_PROCESS, _FILE = 4, 5
"""Places in a line of it: the number of a process, and major:minor:inode."""


def holder(lock: Path) -> str:
    """`process 4711 (python)`; "another process" where the system does not say, as all but Linux."""
    try:
        node = os.stat(lock)
        name = f"{os.major(node.st_dev):02x}:{os.minor(node.st_dev):02x}:{node.st_ino}"
        lines = [line.split() for line in _LOCKS.read_text().splitlines()]
        found = {int(parts[_PROCESS]) for parts in lines if "->" not in parts and parts[_FILE] == name}
        number = min(process for process in found if process > 0)
        # Its name alone: a command line may have passwords in it.
        program = Path(f"/proc/{number}/comm").read_text().strip()
    except (OSError, ValueError, IndexError):
        return "another process"
    return f"process {number} ({program})"
