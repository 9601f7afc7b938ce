"""The form of a declaration: which keys there are, of what kind, and how YAML is read without surprises.

PyYAML's safe loader makes plain values only. What it would pass over in silence is refused here: a key that stands
there twice, a number or a truth value where text was meant.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import yaml
from django.core.exceptions import ValidationError

from dispatch.vocabulary import Channel

MAX_FILE: Final = 1_000_000  # characters; a thousand connections have a third of that


class DeclarationError(Exception):
    """The file can't be applied. `errors`: a line each, that begins with a path in the file."""

    def __init__(self, errors: Sequence[str]) -> None:
        super().__init__("\n".join(errors))
        self.errors = list(errors)


Kinds = tuple[type, ...]
_TEXT: Final[Kinds] = (str,)
_WHOLE: Final[Kinds] = (int,)
_NUMBER: Final[Kinds] = (int, float, type(None))
_FLAG: Final[Kinds] = (bool,)
_LIST: Final[Kinds] = (list,)
_WORDS: Final[Mapping[type, str]] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "a mapping",
    type(None): "null",
}

CONNECTION: Final[Mapping[str, Kinds]] = {
    "provider": _TEXT,
    "base_url": _TEXT,
    "credentials": (dict,),
    "region": _TEXT,
    "sandbox": _FLAG,
    "enabled": _FLAG,
    "weight": _WHOLE,
    "rate": _NUMBER,
    "sender_rate": _NUMBER,
    "concurrency": _WHOLE,
    "unknown_policy": _TEXT,
    "unknown_wait": _WHOLE,
    "unknown_then": _TEXT,
    "whatsapp_template": (dict,),
    "receipt_wait": _WHOLE,
}
ROUTE: Final[Mapping[str, Kinds]] = {
    "name": _TEXT,
    "position": _WHOLE,
    "enabled": _FLAG,
    "account": _TEXT,
    "channel": _TEXT,
    "destinations": _LIST,
    "senders": _LIST,
    "priorities": _LIST,
    "reroute_undelivered": _FLAG,
    "steps": _LIST,
}
STEP: Final[Mapping[str, Kinds]] = {
    "connection": _TEXT,
    "position": _WHOLE,
    "weight": _WHOLE,
    "channel": _TEXT,
    "sender": _TEXT,
}


def load(text: str) -> Any:
    if len(text) > MAX_FILE:
        raise DeclarationError([f"the file has more than {MAX_FILE:,} characters"])
    try:
        _refuse_repeats(yaml.compose(text, Loader=yaml.SafeLoader), "")
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        at = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise DeclarationError([f"{at}this is no YAML: {error.problem or 'it can not be read'}"]) from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise DeclarationError(["this is no YAML"]) from None


def _refuse_repeats(node: Any, path: str) -> None:
    """YAML lets the last of two equal keys win, without a word."""
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue  # the loader refuses it
            if key.value in seen:
                raise DeclarationError([f"{path}{key.value}: stands there twice (line {key.start_mark.line + 1})"])
            seen.add(key.value)
            _refuse_repeats(value, f"{path}{key.value}.")
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _refuse_repeats(value, path)


class Checker:
    """Collects errors, so that all are told at once."""

    def __init__(self) -> None:
        self.errors: list[str] = []

    def checked(self, path: str, content: Any, schema: Mapping[str, Kinds]) -> dict[str, Any]:
        """The mapping's known keys whose values are of their kind."""
        if not isinstance(content, dict):
            self.say(path, f"{word_of(content)}, where a mapping is needed: one with {', '.join(schema)}")
            return {}
        found = {}
        for key, value in content.items():
            if key not in schema:
                self.say(f"{path}.{key}", f"unknown; known are {', '.join(schema)}")
            elif type(value) not in schema[key]:
                self.say(f"{path}.{key}", f"{word_of(value)}, where {_wanted(schema[key])} is needed")
            else:
                found[key] = value
        return found

    def texts(self, path: str, content: list[Any]) -> list[str]:
        """Those members of a list that are text."""
        for at, one in enumerate(content):
            if not isinstance(one, str):
                self.say(f"{path}[{at}]", f"{word_of(one)}, where {_wanted(_TEXT)} is needed")
        return [one for one in content if isinstance(one, str)]

    def channel(self, path: str, word: str) -> str:
        """`word` if it is a channel, else ""."""
        if word and word not in Channel.values:
            self.say(path, f"{word} is no channel: they are {', '.join(Channel.values)}")
            return ""
        return word

    def count(self, path: str, number: int, most: int) -> int:
        """`number`, which its column must hold."""
        if not 0 <= number <= most:
            self.say(path, f"a number from 0 to {most} is needed")
        return number

    def valid(self, path: str, make: Callable[[], str]) -> str:
        """What `make` makes; "" where that raises `ValidationError`."""
        try:
            return make()
        except ValidationError as error:
            self.say(path, error.messages[0])
            return ""

    def say(self, path: str, text: str) -> None:
        """One more error."""
        self.errors.append(f"{path}: {text}")


def told(value: object) -> str:
    """A value as the differences show it."""
    if isinstance(value, bool):
        return str(value).lower()
    return "-" if value is None or value == "" else str(value).replace("\n", ", ")


def word_of(value: object) -> str:
    """What stands there. YAML makes numbers and truth values of what people mean as text."""
    word = _WORDS.get(type(value), "something else")
    if isinstance(value, bool | int | float):
        return f"this is {word} to YAML"
    return f"this is {word}"


def _wanted(kinds: Kinds) -> str:
    quoted = ' (in quotes: "+44", "NO", "12345")' if kinds == _TEXT else ""
    return " or ".join(_WORDS[kind] for kind in kinds) + quoted
