"""The words by which people say that they want no more messages, want them again, or want help.

Data: words by language, and what a person is told. A text is a keyword only as a whole, whatever its case, accents and
punctuation: "STOP 123" can be a command of somebody's application. A short text that holds a word for STOP is told
apart for people to look at, and not acted upon.

Sources: the defaults of Twilio, Telnyx and AWS, and the words that the FCC names (47 CFR 64.1200(a)(10)). YES is not
among those for START, though some providers have it: it answers other questions too often.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import phonenumbers

from webhooks.models import Inbound

Kind = Inbound.Keyword

NEAR_WORDS: Final = 6  # words of a text that may be meant as STOP; longer ones are talk

_STOP: Final[Mapping[str, tuple[str, ...]]] = {
    "en": (
        *("stop", "stopall", "stop all", "unsubscribe", "cancel", "end", "quit", "revoke", "remove", "remove me"),
        *("optout", "opt out", "opt-out"),
    ),
    "fr": ("stop", "arret", "arrêt", "arreter", "arrêter", "arrete", "arrêtez", "desabonner", "désabonnement", "fin"),
    "de": ("stop", "stopp", "abmelden", "abbestellen", "austragen", "ende"),
    "es": ("stop", "alto", "parar", "baja", "cancelar", "detener", "darme de baja"),
    "it": ("stop", "basta", "cancella", "cancellami", "disiscrivi"),
    "pt": ("stop", "parar", "pare", "sair", "cancelar", "remover", "descadastrar"),
    "nl": ("stop", "stoppen", "afmelden", "uitschrijven", "opzeggen"),
    "pl": ("stop", "koniec", "wypisz", "rezygnuje", "rezygnuję"),
    "sv": ("stop", "stopp", "sluta", "avsluta", "avregistrera"),
    "da": ("stop", "afmeld", "frameld"),
    "no": ("stopp", "stop", "avslutt", "meld av"),
    "fi": ("stop", "lopeta"),
    "cs": ("stop", "konec", "odhlasit", "odhlásit"),
    "tr": ("stop", "dur", "iptal", "ret"),
}
_WEAK: Final = frozenset(
    ("cancel", "end", "quit", "remove", "revoke", "fin", "ende", "alto", "parar", "baja", "cancelar", "basta", "pare")
) | {"sair", "remover", "koniec", "konec", "sluta", "dur", "iptal", "ret"}
"""Words of `_STOP` that talk about other things is full of: they say something alone, and nothing among others."""

_START: Final[Mapping[str, tuple[str, ...]]] = {
    "en": ("start", "unstop", "subscribe", "optin", "opt in", "opt-in", "resume"),
    "fr": ("start", "reprendre", "abonner", "réabonner"),
    "de": ("start", "anmelden"),
    "es": ("start", "alta", "iniciar", "reanudar"),
    "it": ("start", "iscrivi", "iscrivimi", "riprendi"),
    "pt": ("start", "iniciar", "voltar"),
    "nl": ("start", "aanmelden"),
    "pl": ("start", "wznow", "wznów"),
    "sv": ("start", "starta"),
    "da": ("start", "tilmeld"),
    "no": ("start", "meld på"),
    "fi": ("start", "aloita"),
    "cs": ("start", "prihlasit", "přihlásit"),
    "tr": ("start", "basla", "başla"),
}
_HELP: Final[Mapping[str, tuple[str, ...]]] = {
    "en": ("help", "info"),
    "fr": ("aide", "info"),
    "de": ("hilfe", "info"),
    "es": ("ayuda", "info"),
    "it": ("aiuto", "info"),
    "pt": ("ajuda", "info"),
    "nl": ("help", "info"),
    "pl": ("pomoc", "info"),
    "sv": ("hjälp", "info"),
    "da": ("hjælp", "info"),
    "no": ("hjelp", "info"),
    "fi": ("apua", "info"),
    "cs": ("pomoc", "info"),
    "tr": ("yardim", "yardım", "info"),
}
STOPPED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "en": "You will get no more messages from us. Write START to get them again.",
        "fr": "Vous ne recevrez plus de messages de notre part. Pour en recevoir de nouveau, écrivez START.",
        "de": "Sie bekommen keine Nachrichten mehr von uns. Mit START bekommen Sie wieder welche.",
        "es": "No recibirás más mensajes nuestros. Escribe START para volver a recibirlos.",
        "it": "Non riceverai più nostri messaggi. Scrivi START per riceverli di nuovo.",
        "pt": "Não receberá mais mensagens nossas. Escreva START para voltar a recebê-las.",
        "nl": "U krijgt geen berichten meer van ons. Met START krijgt u ze weer.",
        "pl": "Nie otrzymasz od nas więcej wiadomości. Napisz START, aby znów je otrzymywać.",
        "sv": "Du får inga fler meddelanden från oss. Skriv START för att få dem igen.",
        "da": "Du får ikke flere beskeder fra os. Skriv START for at få dem igen.",
        "no": "Du får ikke flere meldinger fra oss. Skriv START for å få dem igjen.",
        "fi": "Et saa meiltä enää viestejä. Kirjoita START, niin saat niitä taas.",
        "cs": "Už od nás nedostanete žádné zprávy. Napište START, pokud je chcete znovu.",
        "tr": "Bizden artık mesaj almayacaksınız. Yeniden almak için START yazın.",
    }
)
STARTED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "en": "You will get our messages again. Write STOP to end them.",
        "fr": "Vous recevrez de nouveau nos messages. Pour ne plus en recevoir, écrivez STOP.",
        "de": "Sie bekommen wieder Nachrichten von uns. Mit STOP beenden Sie das.",
        "es": "Volverás a recibir nuestros mensajes. Escribe STOP para no recibirlos.",
        "it": "Riceverai di nuovo i nostri messaggi. Scrivi STOP per non riceverli.",
        "pt": "Voltará a receber as nossas mensagens. Escreva STOP para não as receber.",
        "nl": "U krijgt weer berichten van ons. Met STOP beëindigt u dat.",
        "pl": "Znów będziesz otrzymywać nasze wiadomości. Napisz STOP, aby to zakończyć.",
        "sv": "Du får våra meddelanden igen. Skriv STOP för att slippa dem.",
        "da": "Du får vores beskeder igen. Skriv STOP for at slippe for dem.",
        "no": "Du får meldingene våre igjen. Skriv STOP for å slippe dem.",
        "fi": "Saat taas viestejämme. Kirjoita STOP, niin et saa niitä.",
        "cs": "Budete od nás znovu dostávat zprávy. Napište STOP, pokud je nechcete.",
        "tr": "Mesajlarımızı yeniden alacaksınız. Almamak için STOP yazın.",
    }
)
_REGIONS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("FR", "BE", "LU", "MC", "SN", "CI", "MA"), "fr"),
    **dict.fromkeys(("DE", "AT", "CH", "LI"), "de"),
    **dict.fromkeys(("ES", "MX", "AR", "CO", "CL", "PE", "EC", "UY", "VE", "GT", "BO", "PY", "CR", "PA", "DO"), "es"),
    **dict.fromkeys(("PT", "BR", "AO", "MZ"), "pt"),
    "IT": "it",
    "NL": "nl",
    "PL": "pl",
    "SE": "sv",
    "DK": "da",
    "NO": "no",
    "FI": "fi",
    "CZ": "cs",
    "TR": "tr",
}
"""The language that most people with a number of this country read, of those that we have."""

_PUNCTUATION: Final = re.compile(r"[^\w\s]|_")


@dataclass(frozen=True, slots=True)
class Found:
    """What a text is. `word`: as it stands in the lists; `languages`: those that have it."""

    kind: Kind
    word: str
    languages: tuple[str, ...] = ()


def find(text: str) -> Found | None:
    """The keyword that the text is, or is near to; None for any other text."""
    plain = _plain(text)
    if plain in _KEYWORDS:
        return _KEYWORDS[plain]
    if 0 < len(plain.split()) <= NEAR_WORDS:
        near = next((word for word in _STOPS if f" {word} " in f" {plain} "), None)
        return Found(Kind.NEAR_STOP, near) if near else None
    return None


def language(found: Found, number: str) -> str:
    """What to answer in: the language of the number's country if it has the word, else the first that has."""
    try:
        region = phonenumbers.region_code_for_number(phonenumbers.parse(number))
    except phonenumbers.NumberParseException:
        region = None
    own = _REGIONS.get(region or "", "en")
    return own if own in found.languages else found.languages[0]


def _plain(text: str) -> str:
    """Lower case, without accents and punctuation, one space between words."""
    letters = unicodedata.normalize("NFKD", text.replace("ı", "i").casefold())
    bare = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return " ".join(_PUNCTUATION.sub(" ", bare).split())


def _index() -> dict[str, Found]:
    found: dict[str, Found] = {}
    for kind, lists in ((Kind.STOP, _STOP), (Kind.START, _START), (Kind.HELP, _HELP)):
        for code, words in lists.items():
            for word in map(_plain, words):
                known = found.get(word)
                if known is None:
                    found[word] = Found(kind, word, (code,))
                elif code not in known.languages:
                    found[word] = Found(known.kind, word, (*known.languages, code))
    return found


_KEYWORDS: Final = _index()
_STOPS: Final = tuple(word for word, found in _KEYWORDS.items() if found.kind is Kind.STOP and word not in _WEAK)
