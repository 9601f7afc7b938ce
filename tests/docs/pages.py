"""The pages of the documentation as data: their tables, code and links."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
CODE = re.compile(r"`([^`\n]+)`")
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Page:
    """One Markdown file; `name` is its path inside the project."""

    path: Path

    @property
    def name(self) -> str:
        return str(self.path.relative_to(ROOT))

    @cached_property
    def text(self) -> str:
        return self.path.read_text("utf-8")

    @property
    def prose(self) -> str:
        """All but the fenced blocks."""
        return _BLOCK.sub("", self.text)

    @property
    def words(self) -> set[str]:
        """What is set as code in the prose."""
        return set(CODE.findall(self.prose))

    @property
    def links(self) -> list[str]:
        return _LINK.findall(self.prose)

    @property
    def anchors(self) -> set[str]:
        """The fragments that its headings can be linked by."""
        headings = _HEADING.findall(self.prose)
        return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}

    def blocks(self, language: str) -> list[str]:
        return [body for kind, body in _BLOCK.findall(self.text) if kind == language]

    def section(self, heading: str) -> str:
        """What stands under a heading, up to the next one of any level."""
        parts = re.split(r"^#+ (.+)$", self.prose, flags=re.MULTILINE)
        return parts[parts.index(heading) + 1]

    def rows(self, *header: str, section: str | None = None) -> list[list[str]]:
        """The rows of every table whose first columns are called `header`."""
        text = self.prose if section is None else self.section(section)
        return [row for table in _tables(text) if tuple(table[0][: len(header)]) == header for row in table[2:]]


def _tables(text: str) -> Iterator[list[list[str]]]:
    for table in re.findall(r"(?:^\|.*\|\n)+", text + "\n", re.MULTILINE):
        yield [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def codes(rows: list[list[str]]) -> list[str]:
    """What the first cells of rows set as code."""
    return [code for row in rows for code in CODE.findall(row[0])]


README = Page(ROOT / "README.md")
CHANGELOG = Page(ROOT / "CHANGELOG.md")
DOCS = {path.stem: Page(path) for path in sorted((ROOT / "docs").rglob("*.md"))}
PAGES = (README, CHANGELOG, *DOCS.values())
OURS = tuple(page for page in PAGES if page.path.stem != "provider-protocol")
"""The pages about SendMSG itself: the protocol has endpoints, fields and codes of its own."""
