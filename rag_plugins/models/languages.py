"""Which language a collection is in, and the stems of its words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from importlib import import_module
from threading import Lock
from typing import Any

__all__ = ["FUNCTION_WORDS", "detect_language", "stemmer"]

FUNCTION_WORDS: Mapping[str, frozenset[str]] = {
    language: frozenset(words.split())
    for language, words in {
        "danish": "og det at en af er til på der de ikke et var jeg men sig har om vi havde hun nu fra "
        "hvad ved bliver efter meget mere kunne skal også hvor eller mellem blev deres sådan "
        "nogle uden",
        "dutch": "de en van het een dat op te zijn niet aan met voor er maar om hem dan zou wat mijn "
        "zo deze ook naar heeft hebben wordt worden uit nog bij tot je werd door kan kunnen "
        "haar geen omdat onder",
        "english": "the of to that was are by which it be have has at their its on were been would there "
        "they his but can will these an he she may also should when such than more you your "
        "what how into",
        "finnish": "ja on että ei se hän oli mutta kun niin ovat joka jotka tai myös kuin mukaan sekä "
        "ole olla voi sen sitä tämä tämän ne hänen joita jossa jos vain kanssa ennen jälkeen "
        "mitä ollut",
        "french": "le la les de des du et en un une est que qui dans pour pas sur au aux avec par ce "
        "cette ces il elle sont plus ont été être mais ou où se sa son ses leur nous vous "
        "comme entre",
        "german": "der die das und den von zu mit sich des auf für ist im dem nicht ein eine als auch "
        "es an werden aus er hat dass sie nach wird bei einer um am sind noch wie einem über "
        "einen so zum",
        "hungarian": "az és hogy nem egy is meg ez volt csak már még vagy mint ha el azt kell lehet ezt "
        "van amely lesz pedig minden után akkor olyan szerint között több nagy alatt ki mert "
        "itt",
        "italian": "il di che la un una per non è del della in sono con le da si come dei nel alla più "
        "anche ma gli lo ha al dal delle nella questo questa essere ed dai sul loro stato fra "
        "quando",
        "norwegian": "og det at en av er til på de ikke et var jeg men seg har om vi hadde hun nå fra hva "
        "ved blir etter mye mer kunne skal også hvor eller mellom ble deres slik noen uten",
        "portuguese": "o de que e do da em um para com não uma os no se na por mais as dos como mas ao ele "
        "das à seu sua ou quando muito nos já também só pelo pela até isso foi são ser",
        "romanian": "și în de la cu nu că pe un o este din care pentru sunt mai dar se al să ce au fi "
        "prin a după sau fost această acest lui ca când fie foarte între numai unei unui",
        "russian": "и в не на что он с как это по но они к у из мы за вы так же от бы для о его до или "
        "был была были при этого когда уже если только их также после может быть",
        "spanish": "el la de que y en un los se del las por con no una su para es al lo como más pero "
        "sus le ya o este sí porque esta entre cuando muy sin sobre también hasta hay donde "
        "fue son ser",
        "swedish": "och det att en av är till på som de inte ett var jag men sig har om vi hade hon nu "
        "från vad vid blir efter mycket mer kunde ska också hur eller mellan blev deras sådan "
        "några utan",
    }.items()
}
"""The commonest words of each language, but those that are keywords of programs."""

_SEEN_IN = Counter(word for words in FUNCTION_WORDS.values() for word in words)

_ENOUGH = 40
"""Sightings of a language's own function words that settle it, where there are `_DISTINCT` of them."""
_DISTINCT = 5
_CLEAR = 1.25
"""How much the first language must outweigh the second."""
_SHARE = 0.01
"""The least share of function words: 6 % and more in English texts, programs among them."""
_MUCH = 50_000
"""Sightings of terms after which a collection without function words has none to come."""


def detect_language(frequencies: Mapping[str, int]) -> str | None:
    """The language of most of a collection, from the number of passages that each unstemmed word is in.

    A key of `FUNCTION_WORDS`; "none" where much text has hardly a function word (Chinese, tables, code);
    None while there is too little to tell.
    """
    # A word of several languages counts a part for each: de says little, und much.
    evidence = {
        language: sum(frequencies.get(word, 0) / _SEEN_IN[word] for word in words)
        for language, words in FUNCTION_WORDS.items()
    }
    (first, most), (_, next_most), *_ = Counter(evidence).most_common()
    distinct = sum(word in frequencies for word in FUNCTION_WORDS[first])
    total = sum(frequencies.values())
    if most < _SHARE * total:
        return "none" if total >= _MUCH else None
    is_clear = most >= _ENOUGH and distinct >= _DISTINCT and most >= _CLEAR * next_most
    return first if is_clear else None


@cache
def stemmer(language: str) -> Callable[[str], str]:
    """Words to stems, remembered, for any number of threads; "none" leaves words alone."""
    if language == "none":
        return lambda word: word
    # `snowballstemmer.stemmer` takes PyStemmer's algorithms, of another version, where that is installed,
    # and a collection would hold terms that the next environment cannot find.
    module = import_module(f"snowballstemmer.{language}_stemmer")
    algorithm: Any = getattr(module, f"{language.title()}Stemmer")()
    lock = Lock()  # Snowball keeps the word it works on in the object.

    @lru_cache(maxsize=2**18)
    def stem(word: str) -> str:
        # Names, numbers and dictionary entries with anything but letters in them are not inflected.
        if not word.replace("'", "").isalpha():
            return word
        with lock:
            return algorithm.stemWord(word)

    return stem
