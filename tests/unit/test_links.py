"""Links of the documentation: those within the repository lead somewhere, those that leave it are https."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.pages import ROOT, markdown

CODE = re.compile(r"^ *(```+)\S*\n.*?^ *\1$|(`+)(?!`).+?(?<!`)\2(?!`)", re.DOTALL | re.MULTILINE)
FENCED = re.compile(r"^ *(```+)\S*\n.*?^ *\1$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?(?: \"[^\"]*\")?\s*\)|^\[[^]]+\]:\s+(\S+)|<(https?://[^>\s]+)>", re.MULTILINE)
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
REGISTRIES = {"pypi", "pythonhosted", "npmjs", "crates", "golang"}
"""What the hosts of package registries are called; no file names one."""


def links(text: str) -> list[str]:
    """List the targets of the links and pictures of a page, without what is code."""
    return [one for found in LINK.findall(CODE.sub("", text)) for one in found if one]


def anchors(text: str) -> set[str]:
    """Give the anchors of the headings, by GitHub's rule."""
    return set(_slugs(FENCED.sub("", text)))


def _slugs(text: str) -> Iterator[str]:
    seen: Counter[str] = Counter()
    for heading in HEADING.findall(text):
        shown = re.sub(r"!?\[([^]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").replace("*", "")
        slug = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        yield f"{slug}-{seen[slug]}" if seen[slug] else slug
        seen[slug] += 1


def broken(page: Path, link: str) -> str | None:
    """Say what is wrong with a link, if anything is."""
    parts = urlsplit(link)
    if parts.scheme:
        if parts.scheme not in ("https", "mailto") or (parts.scheme == "https" and not parts.hostname):
            return "https only"
        return "a package registry" if REGISTRIES & {*(parts.hostname or "").split(".")} else None
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if link.startswith("/") or not target.is_relative_to(ROOT) or not target.exists():
        return "not there"
    if parts.fragment and target.suffix == ".md" and unquote(parts.fragment) not in anchors(target.read_text()):
        return "no such heading"
    return None


@pytest.mark.parametrize("name", markdown())
def test_every_link_leads_somewhere(name: str) -> None:
    page = ROOT / name
    found = {link: broken(page, link) for link in links(page.read_text())}
    assert {link: why for link, why in found.items() if why} == {}


@pytest.mark.parametrize(
    ("link", "why"),
    [
        ("docs/no-such-page.md", "not there"),
        ("docs/pictures/none.png", "not there"),
        ("../elsewhere", "not there"),
        ("docs/operations.md#no-such-section", "no such heading"),
        ("#no-such-section", "no such heading"),
        ("http://example.com", "https only"),
        ("https://pypi.example/project/x", "a package registry"),
        ("docs/operations.md#dead-letters", None),
        ("#demo", None),
    ],
)
def test_a_broken_link_is_noticed(link: str, why: str | None) -> None:
    (found,) = links(f"text `[code](nowhere)` [text]({link}) text")
    assert broken(ROOT / "README.md", found) == why


def test_anchors_are_those_of_github() -> None:
    text = "# Who's `there`?\n## A & B\n## A & B\n```\n# no heading\n```\n## [Link](x.md), a_b-c"
    assert anchors(text) == {"whos-there", "a--b", "a--b-1", "link-a_b-c"}


def test_there_are_links() -> None:
    assert sum(len(links((ROOT / name).read_text())) for name in markdown()) > 100
