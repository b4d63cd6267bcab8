"""How questions are asked, in each language: words that say what kind of answer is meant, not what about."""

from __future__ import annotations

from collections.abc import Mapping

from rag_plugins.models.languages import FUNCTION_WORDS, detect_language

__all__ = ["question_words"]

_QUESTION_WORDS: Mapping[str, frozenset[str]] = {
    language: frozenset(words.split())
    for language, words in {
        "danish": "hvad hvem hvis hvor hvordan hvorfor hvornår hvilken hvilket hvilke er var gør",
        "dutch": "wat wie wiens waar hoe waarom wanneer welke welk is zijn was waren doet",
        "english": "who whom whose why where when what which how do does did is are was were",
        "finnish": "mikä mitä kuka kenen missä mistä mihin miten miksi milloin mitkä on ovat oli olivat",
        "french": "que quoi qui où comment pourquoi quand quel quelle quels quelles est sont était étaient",
        "german": "was wer wen wem wessen wo wohin woher wie warum wann welche welcher welches ist sind war "
        "waren",
        "hungarian": "mi mit ki kit kinek hol hová honnan hogyan miért mikor melyik milyen van vannak volt "
        "voltak",
        "italian": "che cosa cos chi dove come perché quando quale quali è sono era erano",
        "norwegian": "hva hvem hvor hvordan hvorfor når hvilken hvilket hvilke er var gjør",
        "portuguese": "que quê quem onde como porque porquê quando qual quais é são era eram",
        "romanian": "ce cine cui unde cum de când care este sunt era erau",
        "russian": "что кто кого кому чей где куда откуда как почему зачем когда какой какая какое какие",
        "spanish": "qué quién quiénes dónde cómo cuándo cuál cuáles es son era eran",
        "swedish": "vad vem vems var hur varför när vilken vilket vilka är gör",
    }.items()
}

_COMMON = frozenset().union(*FUNCTION_WORDS.values())


def question_words(frequencies: Mapping[str, int]) -> frozenset[str]:
    """Those of a collection's language, from the number of passages that each word is in; none in doubt."""
    seen = {word: frequencies[word] for word in _COMMON if word in frequencies}
    return _QUESTION_WORDS.get(detect_language(seen) or "none", frozenset())
