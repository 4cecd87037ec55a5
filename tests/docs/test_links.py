"""Every link between pages leads somewhere, and every page that code cites is there."""

from __future__ import annotations

from pathlib import Path

from . import pages as repository
from .pages import ROOT, anchors, citations, links, pages


def _fault(target: Path, anchor: str) -> str | None:
    if not target.exists():
        return "there is no such file"
    if anchor and target.suffix == ".md" and anchor not in anchors(target):
        return f"it has no anchor #{anchor}"
    return None


def test_every_relative_link_resolves() -> None:
    broken = [
        f"{page.relative_to(ROOT)} -> {target}: {fault}"
        for page in pages()
        for target, anchor in links(page)
        if (fault := _fault(target, anchor)) is not None
    ]
    assert not broken, "\n".join(broken)


def test_every_page_that_is_cited_exists() -> None:
    cited = list(citations())
    assert len({page for _, page, _ in cited}) > 8, "the citations were not found"
    broken = [
        f"{name} cites {page.relative_to(ROOT)}: {fault}"
        for name, page, anchor in cited
        if (fault := _fault(page, anchor)) is not None
    ]
    assert not broken, "\n".join(broken)


def test_a_broken_link_would_show(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        '# One `thing`\n\n<a id="own"></a>\n## One thing\n[a](#own) [b](#nowhere) [c](gone.md)\n```\n[d](no.md)\n```\n'
    )
    assert repository.anchors(page) == {"own", "one-thing", "one-thing-1"}
    faults = [_fault(target, anchor) for target, anchor in repository.links(page)]
    assert faults == [None, "it has no anchor #nowhere", "there is no such file"]
