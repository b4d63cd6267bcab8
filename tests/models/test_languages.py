from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import get_args

import pytest
import snowballstemmer

from rag_plugins.config import Bm25Leg, Language
from rag_plugins.models.analysis import Analyser
from rag_plugins.models.languages import FUNCTION_WORDS, detect_language, stemmer

TEXTS = {
    "danish": "Pumpen skal efterses hver måned, og filteret bliver skiftet efter behov. Hvad gør man, "
    "hvis vandet ikke kommer ud af hanen? Så må vi se, om ventilen er lukket, eller om der er "
    "luft i røret.",
    "dutch": "De pomp wordt elke maand nagekeken en het filter wordt vervangen als dat nodig is. Wat "
    "te doen als er geen water uit de kraan komt? Kijk dan of de klep niet dicht is en of er "
    "lucht in de buis zit.",
    "english": "The pump is checked every month, and the filter has to be changed when it is dirty. What "
    "can be done when there is no water at the tap? Look whether the valve was closed by "
    "someone on the shift.",
    "finnish": "Pumppu tarkastetaan joka kuukausi, ja suodatin vaihdetaan, kun se on likainen. Mitä "
    "tehdä, jos hanasta ei tule vettä? Silloin katsotaan, onko venttiili kiinni tai että "
    "putkessa ei ole ilmaa, ja se on myös hyvä huuhdella, mutta vain silloin kun laite ei ole "
    "päällä.",
    "french": "La pompe est contrôlée tous les mois et le filtre est changé dans la semaine. Que faire "
    "si l'eau ne sort pas du robinet ? Il faut regarder si la vanne est fermée ou si de l'air "
    "se trouve dans les tuyaux avec des bulles.",
    "german": "Die Pumpe wird jeden Monat geprüft und der Filter nach Bedarf gewechselt. Was ist zu "
    "tun, wenn das Wasser nicht aus dem Hahn kommt? Dann ist zu sehen, ob das Ventil auf ist "
    "und ob sich Luft in einer Leitung befindet.",
    "hungarian": "A szivattyút minden hónapban ellenőrizni kell, és a szűrőt is ki kell cserélni, ha már "
    "piszkos. Mit kell tenni, ha nem jön víz a csapból? Meg kell nézni, hogy a szelep zárva "
    "van vagy az egy levegős cső, mert az nagy baj lesz.",
    "italian": "La pompa viene controllata ogni mese e il filtro è cambiato quando è sporco. Che cosa "
    "fare se non esce acqua dal rubinetto? Si guarda se la valvola della stanza è chiusa o se "
    "nel tubo con gli attacchi ci sono delle bolle.",
    "norwegian": "Pumpen skal sjekkes hver måned, og filteret blir skiftet etter behov. Hva gjør man hvis "
    "vannet ikke kommer ut av kranen? Da må vi se om ventilen er stengt, eller om det nå er "
    "luft i røret fra pumpen.",
    "portuguese": "A bomba é verificada todos os meses e o filtro é trocado quando está sujo. O que fazer "
    "se não sai água da torneira? Vê-se se a válvula do quarto está fechada ou se há ar nos "
    "tubos, mas também pela pressão da rede e dos canos com uma bomba.",
    "romanian": "Pompa este verificată în fiecare lună și filtrul este schimbat când este murdar. Ce se "
    "face dacă nu curge apă din robinet? Se vede că supapa a fost închisă sau că este aer în "
    "conductă, dar numai după ce pompa a fost oprită pentru lucrări.",
    "russian": "Насос проверяют каждый месяц, и фильтр меняют, когда он грязный. Что делать, если вода "
    "не идёт из крана? Нужно посмотреть, не закрыт ли клапан, и есть ли воздух в трубе, но "
    "только после того как насос был выключен.",
    "spanish": "La bomba se revisa todos los meses y el filtro se cambia cuando está sucio. ¿Qué hacer "
    "si no sale agua del grifo? Se mira si la válvula de la sala está cerrada o si hay aire "
    "en los tubos, pero también con una bomba es así.",
    "swedish": "Pumpen ska kontrolleras varje månad och filtret byts när det är smutsigt. Vad gör man om "
    "vattnet inte kommer ur kranen? Då får man se om ventilen är stängd eller om det finns "
    "luft i röret från pumpen, och även på andra ställen.",
}


def frequencies(*texts: str) -> Counter[str]:
    surfaces = Analyser(Bm25Leg()).surfaces
    return Counter(word for text in texts for word in set(surfaces(text)))


def test_every_language_of_the_configuration_has_function_words_and_a_stemmer():
    assert set(FUNCTION_WORDS) == set(get_args(Language)) - {"auto", "none"} == set(TEXTS)
    for language in FUNCTION_WORDS:
        assert isinstance(stemmer(language)("pump"), str)


@pytest.mark.parametrize("language", TEXTS)
def test_a_few_passages_tell_the_language(language):
    assert detect_language(frequencies(*[TEXTS[language]] * 8)) == language


@pytest.mark.parametrize("language", TEXTS)
def test_a_foreign_passage_among_many_changes_nothing(language):
    others = [text for name, text in TEXTS.items() if name != language]
    assert detect_language(frequencies(*[TEXTS[language]] * 40, *others)) == language


@pytest.mark.parametrize("language", TEXTS)
def test_one_passage_is_not_enough(language):
    assert detect_language(frequencies(TEXTS[language])) is None


def test_two_languages_in_equal_parts_are_left_undecided():
    assert detect_language(frequencies(*[TEXTS["english"], TEXTS["german"]] * 20)) is None


def test_much_text_without_function_words_is_none():
    chinese = "每个月检查一次水泵，过滤器脏了就更换。如果水龙头没有水，请检查阀门是否关闭。"
    code = "for (int i = 0; i < n; i++) { if (buffer[i] != 0x00) { count += 1; } else { return; } }"
    for text in (chinese, code):
        assert detect_language(frequencies(*[text] * 20)) is None
        assert detect_language(frequencies(*[text] * 6000)) == "none"
    assert detect_language({}) is None


def test_a_chinese_collection_with_a_few_english_passages_is_none():
    chinese = "每个月检查一次水泵，过滤器脏了就更换。如果水龙头没有水，请检查阀门是否关闭。"
    assert detect_language(frequencies(*[chinese] * 3000, *[TEXTS["english"]] * 10)) == "none"


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("english", ["change", "changes", "changed", "changing"]),
        ("german", ["Pumpe", "Pumpen"]),
        ("french", ["l'homme", "hommes"]),
        ("russian", ["насос", "насоса", "насосы"]),
        ("spanish", ["bomba", "bombas"]),
    ],
)
def test_inflected_words_are_one_term(language, words):
    analyser = Analyser(Bm25Leg(), language)
    assert len({analyser.terms(word)[0] for word in words}) == 1
    assert len({Analyser(Bm25Leg()).terms(word)[0] for word in words}) == len(words)


def test_names_and_numbers_have_no_stem():
    stem = stemmer("english")
    for surface in ("max_values", "os.paths", "--no-caches", "aq-310s", "mp3s", "error codes", "过滤器"):
        assert stem(surface) == surface


def test_threads_share_a_stemmer():
    words = [
        f"{base}{ending}" for base in ("pump", "valve", "filter") for ending in ("s", "ing", "ed", "")
    ] * 400
    alone = snowballstemmer.stemmer("swedish")
    expected = [alone.stemWord(word) for word in words]
    stemmer.cache_clear()
    shared = stemmer("swedish")
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(shared, words)) == expected
