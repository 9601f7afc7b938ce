"""The table of what each provider can do, rendered from the adapters' capabilities.

README.md and docs/providers.md have it between two comments; `python -m dispatch.providers.matrix --write` renews it
there, and without `--write` prints it. A test holds the pages to it.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from dispatch.providers import registry
from dispatch.providers.base import Capabilities, SenderKind

COMMAND: Final = "python -m dispatch.providers.matrix --write"
BEGIN: Final = f"<!-- from the capabilities, by: {COMMAND} -->"
END: Final = "<!-- end of the table -->"


def _lost(can: Capabilities) -> str:
    if can.deduplicates:
        return "repeats the call"
    return "asks for the message" if can.finds else "`unknown`"


def _yes(able: bool) -> str:
    return "yes" if able else "no"


def _senders(can: Capabilities) -> str:
    return "any" if can.senders == frozenset(SenderKind) else ", ".join(f"`{kind}`" for kind in sorted(can.senders))


COLUMNS: Final[Mapping[str, Callable[[Capabilities], str]]] = MappingProxyType(
    {
        "Channels": lambda can: ", ".join(f"`{channel}`" for channel in sorted(can.channels)),
        "Messages a call": lambda can: str(can.batch_size),
        "After a lost answer": _lost,
        "Status by asking": lambda can: _yes(can.fetches_status),
        "Repeats recognised": lambda can: f"{can.remembers_for / 3_600:g} h" if can.deduplicates else "no",
        "Validity": lambda can: "{} to {} s".format(*can.validity) if can.validity else "not told",
        "Senders": _senders,
        "Numbers": lambda can: f"`{can.number_format}`",
        "Longest text": lambda can: str(can.max_body) if can.max_body else "",
        "Pause to a recipient": lambda can: f"{can.pair_interval:g} s" if can.pair_interval else "",
    }
)
PAGES: Final[Mapping[str, Sequence[str]]] = MappingProxyType(
    {
        "README.md": ("Channels", "Messages a call", "After a lost answer", "Status by asking"),
        "docs/providers.md": tuple(COLUMNS),
    }
)


def table(columns: Sequence[str]) -> str:
    """In Markdown, a row for each registered provider."""
    rows = [["Provider", *columns], ["---"] * (1 + len(columns))]
    for slug in registry.PROVIDERS:
        capabilities = registry.get(slug).capabilities
        rows.append([f"`{slug}`", *(COLUMNS[column](capabilities) for column in columns)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def renewed(name: str, text: str) -> str:
    """A page's text with its table as it should be; ValueError if it has no place for one."""
    before, begun, rest = text.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not begun or not ended:
        raise ValueError(f"{name} needs the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{table(PAGES[name])}\n\n{END}{after}"


def write(root: Path) -> None:
    """Renews the table in the pages under `root`."""
    for name in PAGES:
        page = root / name
        page.write_text(renewed(name, page.read_text("utf-8")), "utf-8")


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m dispatch.providers.matrix", description="What providers can do.")
    parser.add_argument("--write", action="store_true", help="renew the table in the pages that have it")
    if parser.parse_args(arguments).write:
        write(Path(__file__).resolve().parents[2])
    else:
        print(table(tuple(COLUMNS)))


if __name__ == "__main__":
    main(sys.argv[1:])
