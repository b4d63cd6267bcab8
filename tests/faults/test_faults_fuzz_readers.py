"""Files of every kind, damaged at random: pages and `BadDocument`s, within time and memory."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from faults_support_files import damaged, read, sound

from rag_plugins.errors import BadDocument
from rag_plugins.ingest.pages import Page

SOUND = sound()
SECONDS = 20
"""For one file of a few kilobytes: it takes milliseconds, but for Tesseract's."""

LONG = """
import random, resource, sys, time
from collections import Counter
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from faults_support_files import damaged, read, sound
from rag_plugins.errors import BadDocument
from rag_plugins.ingest.policy import ViewPolicy

suffix, count, seed, folder = sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5])
data, policy = sound()[suffix], ViewPolicy() if sys.argv[6:] else None
outcomes, slowest = Counter(), 0.0
for number in range(count):
    path = folder / f"{number}{suffix}"
    path.write_bytes(damaged(data, random.Random(f"{seed} {number}")))
    started = time.monotonic()
    pages = read(path, policy)
    slowest = max(slowest, time.monotonic() - started)
    outcomes.update(type(page).__name__ for page in pages)
    path.unlink()
print(*(f"{name}={n}" for name, n in sorted(outcomes.items())), f"slowest={slowest:.2f}",
      f"megabytes={resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}")
"""


@pytest.mark.parametrize("suffix", SOUND)
def test_a_sound_file_is_read(tmp_path: Path, suffix: str):
    path = tmp_path / f"sound{suffix}"
    path.write_bytes(SOUND[suffix])
    pages = read(path)
    assert all(isinstance(page, Page) or "nothing would find it" in page.reason for page in pages)


@pytest.mark.parametrize("suffix", SOUND)
def test_damaged_files_are_pages_or_bad_documents(tmp_path: Path, suffix: str):
    started = time.monotonic()
    for number in range(8 if suffix == ".pdf" else 25):
        path = tmp_path / f"{number}{suffix}"
        path.write_bytes(damaged(SOUND[suffix], random.Random(f"short {number}")))
        for page in read(path):
            assert isinstance(page, Page | BadDocument)
            assert isinstance(page, Page) or (page.reason and len(page.reason) < 500)
    assert time.monotonic() - started < SECONDS


@pytest.mark.faults
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("suffix", "count", "recognised"),
    [(suffix, 2000, False) for suffix in SOUND]
    + [(suffix, 60, True) for suffix in (".png", ".tiff", ".pdf")],
)
def test_damaged_files_are_pages_or_bad_documents_long(tmp_path, suffix, count, recognised):
    seed = random.SystemRandom().randrange(2**32)
    command = [sys.executable, "-X", "faulthandler", "-c", LONG, Path(__file__).parent]
    command += [suffix, count, seed, tmp_path, *["recognised"] * recognised]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=1100)
    told = f"{suffix} seed {seed}: {count} files"
    assert done.returncode == 0, f"{told}\n{done.stderr[-5000:]}"
    figures = dict(part.split("=") for part in done.stdout.split()[-4:])
    print(told, done.stdout.strip())
    assert float(figures["slowest"]) < SECONDS, told
    assert int(figures["megabytes"]) < 1000, told
