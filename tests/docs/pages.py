"""The repository's pages as a reader meets them: files under git, links, anchors, citations."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]

_FENCE = re.compile(r"^( *)(```|~~~).*?^\1\2\s*$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)|<(?:a href|img src|source srcset)=\"([^\"]+)\"")
_HEADING = re.compile(r"^#{1,6} +(.*?)\s*#*\s*$", re.MULTILINE)
_CITATION = re.compile(r"(?<![\w/.-])docs/([\w/-]+\.md)(?:#([\w-]+))?")
_READ = {".py", ".sol", ".yul", ".mjs", ".js", ".html", ".toml", ".yml", ".md"}


@cache
def tracked() -> tuple[str, ...]:
    """Paths of all files that are under git, or would be with the next commit."""
    listed = ("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z")
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    return tuple(name for name in dict.fromkeys(names) if name and (ROOT / name).is_file())


def pages() -> list[Path]:
    """All pages."""
    return [ROOT / name for name in tracked() if name.endswith(".md")]


@cache
def text_of(page: Path) -> str:
    """A page without its code blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


@cache
def anchors(page: Path) -> frozenset[str]:
    """What a link to a page can name: its own anchors, and those that GitHub makes of its headings."""
    text = text_of(page)
    found = set(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", text))
    seen: dict[str, int] = {}
    for heading in _HEADING.findall(text):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        number = seen[slug] = seen.get(slug, -1) + 1
        found.add(f"{slug}-{number}" if number else slug)
    return frozenset(found)


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """(file, anchor or "") of every link of a page that stays in the repository."""
    for first, second in _LINK.findall(text_of(page)):
        target = first or second
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        path, _, anchor = target.partition("#")
        yield ((page.parent / path).resolve() if path else page), anchor


def citations() -> Iterator[tuple[str, Path, str]]:
    """(file, page, anchor or "") of every page under docs/ that code, contracts or pages name."""
    for name in tracked():
        if Path(name).suffix in _READ or name == "Makefile":
            for page, anchor in _CITATION.findall((ROOT / name).read_text(encoding="utf-8")):
                yield name, ROOT / "docs" / page, anchor
