"""A keyword is the whole text, in any spelling; a text that only holds one is for people to look at."""

import pytest

from webhooks.inbound import keywords
from webhooks.inbound.keywords import STARTED, STOPPED, Kind


def kind(text: str) -> str:
    found = keywords.find(text)
    return found.kind.value if found else ""


@pytest.mark.parametrize(
    "text",
    [
        *("STOP", "stop", " Stop. ", "STOP!!!", "“stop”", "\n*STOP*\n", "🛑 stop", "ＳＴＯＰ"),
        *("STOPALL", "STOP ALL", "stop  all", "UNSUBSCRIBE", "cancel", "End", "QUIT", "revoke", "OptOut"),
        *("OPT OUT", "opt-out", "Opt - Out"),
        *("ARRET", "ARRÊT", "arre\u0302t", "Abmelden", "BAJA", "cancellami", "SAIR", "afmelden", "Rezygnuję"),
        *("avregistrera", "İPTAL", "iptal"),
    ],
)
def test_these_are_stop(text: str) -> None:
    assert kind(text) == "stop"


@pytest.mark.parametrize("text", ["START", "unstop", "Opt in", "BAŞLA", "wznów"])
def test_these_are_start(text: str) -> None:
    assert kind(text) == "start"


@pytest.mark.parametrize("text", ["HELP", "help?", "Aide", "HILFE", "Hjälp", "info", "yardım"])
def test_these_are_help(text: str) -> None:
    assert kind(text) == "help"


@pytest.mark.parametrize("text", ["stop please", "Please STOP!", "STOP 123", "stop it now thanks", "I want to opt out"])
def test_these_are_near_to_stop(text: str) -> None:
    assert kind(text) == "near_stop"


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "!!!", "Yes", "YES", "stopwatch", "nonstop", "unstoppable", "s t o p", "7", "seis"),
        "See you at the end",
        "I will be at the bus stop at nine, wait for me there",
    ],
)
def test_these_are_talk(text: str) -> None:
    assert kind(text) == ""


@pytest.mark.parametrize(
    ("text", "number", "language"),
    [
        ("STOP", "+447700900123", "en"),
        ("STOP", "+33612345678", "fr"),
        ("STOP", "+4915123456789", "de"),
        ("STOP", "+5511987654321", "pt"),
        ("STOP", "+81312345678", "en"),
        ("ARRET", "+447700900123", "fr"),  # whoever writes French reads it
        ("UNSUBSCRIBE", "+33612345678", "en"),
        ("STOP", "nobody", "en"),
    ],
)
def test_the_answer_is_in_the_persons_language(text: str, number: str, language: str) -> None:
    found = keywords.find(text)
    assert found is not None
    assert keywords.language(found, number) == language


def test_every_language_has_its_answers() -> None:
    lists = (keywords._STOP, keywords._START, keywords._HELP)
    languages = {language for words in lists for language in words}

    assert set(STOPPED) == set(STARTED) == languages
    assert {language for found in keywords._KEYWORDS.values() for language in found.languages} == languages


def test_no_word_means_two_things() -> None:
    meanings: dict[str, set[Kind]] = {}
    for meaning, lists in ((Kind.STOP, keywords._STOP), (Kind.START, keywords._START), (Kind.HELP, keywords._HELP)):
        for words in lists.values():
            for word in words:
                meanings.setdefault(keywords._plain(word), set()).add(meaning)

    assert {word: kinds for word, kinds in meanings.items() if len(kinds) > 1} == {}


def test_the_words_that_answers_name_are_keywords() -> None:
    assert all("START" in text for text in STOPPED.values())
    assert all("STOP" in text for text in STARTED.values())
    assert (kind("START"), kind("STOP")) == ("start", "stop")


def test_an_answer_is_no_keyword_so_that_two_machines_do_not_talk_for_ever() -> None:
    assert {kind(text) for text in (*STOPPED.values(), *STARTED.values())} <= {"", "near_stop"}
