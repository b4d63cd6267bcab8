"""Text as a bad scan would have it: how recognition errs, measured, and texts that err in the same way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from random import Random
from types import MappingProxyType

from rapidfuzz.distance import Levenshtein

from rag_plugins.errors import BadInput
from rag_plugins.ingest.chunking import retrieval_text

__all__ = ["MOST_NOISE", "Confusions", "measure_confusions", "noisy"]

MOST_NOISE = 0.5
"""Character errors a character: above it edits meet and undo one another."""

_LONGEST = 4
"""Characters on a side of a confusion. What is longer is a line that was lost, not letters misread."""

_UNREAD = 0.5
"""The character error rate from which two texts are not aligned, whatever an alignment says."""

_GLYPHS = str.maketrans("‘’‚“”„–—", "'''\"\"\"--")

_TRIES = 50
"""Places drawn in vain, one after the other, before there are held to be none."""


@dataclass(frozen=True, slots=True)
class Confusions:
    """How often recognition made one string of another, by (true, recognised).

    ("rn", "m") and the like are kept whole; (" ", "") joins two words, ("", " ") splits one.
    """

    counts: Mapping[tuple[str, str], int] = field(default_factory=lambda: MappingProxyType({}))

    def __str__(self) -> str:
        """The commonest, for people."""
        common = sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))[:10]
        return ", ".join(f"{true or '∅'}→{read or '∅'} {count}" for (true, read), count in common)


def measure_confusions(pairs: Iterable[tuple[str, str]]) -> Confusions:
    """Align (true, recognised) texts and count what was misread for what.

    White space counts as one space, words hyphenated at a line's end are joined, and quotes and dashes have
    one form each, as transcribers choose theirs. A text that is mostly unlike its true one teaches nothing
    and is passed over.
    """
    counts: Counter[tuple[str, str]] = Counter()
    for true, recognised in pairs:
        true, recognised = _plain(true), _plain(recognised)
        if Levenshtein.normalized_distance(true, recognised) < _UNREAD:
            counts.update(_misread(true, recognised))
    return Confusions(MappingProxyType(dict(counts)))


def _plain(text: str) -> str:
    return retrieval_text(text).translate(_GLYPHS).replace("''", '"')


def _misread(true: str, recognised: str) -> Iterator[tuple[str, str]]:
    """What lies between two stretches that were read well: rn and m, though it is aligned as two edits."""
    at = (0, 0)
    for block in [op for op in Levenshtein.opcodes(true, recognised) if op.tag == "equal"] + [None]:
        here = (block.src_start, block.dest_start) if block else (len(true), len(recognised))
        said, read = true[at[0] : here[0]], recognised[at[1] : here[1]]
        if 0 < max(len(said), len(read)) <= _LONGEST:
            yield said, read
        at = (block.src_end, block.dest_end) if block else at


def noisy(text: str, rate: float, seed: int, confusions: Confusions) -> str:
    """The text with `rate` character errors a character, the same for the same seed, text and confusions.

    Half are drawn from the confusions, as common as they are there; half are uniform: a character left out,
    put in or replaced by one of the text's, white space excepted. Where a text has no place for a confusion,
    uniform edits stand in. Raises `BadInput` for a rate outside 0 to .5.
    """
    if not 0 <= rate <= MOST_NOISE:
        raise BadInput(f"noise is a share of the characters from 0 to {MOST_NOISE}, got {rate}")
    draw = Random(f"{seed}\n{text}".encode("utf-8", "surrogatepass"))
    wanted = int(rate * len(text) + draw.random())
    edits = _Edits(text, draw)
    edits.confuse(wanted // 2 + (wanted % 2 and draw.randrange(2)), confusions)
    edits.uniform(wanted)
    return edits.applied()


class _Edits:
    """Edits of a text that do not touch one another, so that none undoes the other."""

    def __init__(self, text: str, draw: Random) -> None:
        self._text = text
        self._draw = draw
        self._edits: dict[int, tuple[int, str]] = {}
        self._taken: set[int] = set()
        self._spent = 0

    def confuse(self, wanted: int, confusions: Confusions) -> None:
        """Draw confusions whose true side the text has until so many characters are wrong."""
        present = {pair: count for pair, count in confusions.counts.items() if pair[0] in self._text}
        pairs, limits = list(present), list(accumulate(present.values()))
        vain = 0
        while pairs and self._spent < wanted and vain < _TRIES:
            ((true, read),) = self._draw.choices(pairs, cum_weights=limits)
            vain = 0 if self._put(self._place(true), true, read) else vain + 1

    def uniform(self, wanted: int) -> None:
        """Edit single characters, white space excepted, until so many are wrong in all."""
        places = [at for at, character in enumerate(self._text) if not character.isspace()]
        alphabet = sorted({self._text[at] for at in places})
        vain = 0
        while places and self._spent < wanted and vain < _TRIES:
            at, other = self._draw.choice(places), self._draw.choice(alphabet)
            here = self._text[at]
            edit = self._draw.choice(((here, ""), ("", other), (here, other)))
            vain = 0 if self._put(at, *edit) else vain + 1

    def applied(self) -> str:
        """The text with the edits made."""
        parts: list[str] = []
        done = 0
        for start, (end, read) in sorted(self._edits.items()):
            parts += (self._text[done:start], read)
            done = end
        return "".join(parts) + self._text[done:]

    def _place(self, true: str) -> int:
        """A place where it stands, any of them: from anywhere the next, and from the end the first."""
        found = self._text.find(true, self._draw.randrange(len(self._text)))
        return found if found >= 0 else self._text.find(true)

    def _put(self, at: int, true: str, read: str) -> bool:
        span = range(at, at + max(len(true), 1))
        if true == read or not self._taken.isdisjoint(span):
            return False
        if not true and read.isspace() and not self._text[max(at - 1, 0) : at + 1].isalnum():
            return False  # A word is split inside; beside a space another says nothing.
        self._taken.update(span)
        self._edits[at] = (at + len(true), read)
        self._spent += Levenshtein.distance(true, read)
        return True
