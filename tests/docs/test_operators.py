"""docs/operators.md knows every figure of /metrics."""

from __future__ import annotations

import re

from .pages import ROOT

PAGE = (ROOT / "docs" / "operators.md").read_text(encoding="utf-8")


def test_every_metric_is_on_the_page_and_no_other() -> None:
    folders = (ROOT / "node", ROOT / "challenger")
    sources = [path.read_text(encoding="utf-8") for folder in folders for path in folder.rglob("*.py")]
    figures = {name for text in sources for name in re.findall(r'"(gainsay_[a-z_]+)"', text)}
    figures -= {"gainsay_model_id"}  # a field of /v1/models
    shown = {name.removesuffix("_total") for name in re.findall(r"`(gainsay_[a-z_]+)", PAGE)}
    assert len(figures) > 15
    assert shown == figures


def test_links_of_alerts_lead_to_the_runbook() -> None:
    table = PAGE.split("| figure | alert when | look at |", 1)[1].split("\n\n", 1)[0]
    linked = re.findall(r"\]\(#([\w-]+)\)", table)
    assert len(linked) >= 4
    assert all(f'<a id="{anchor}"></a>' in PAGE for anchor in linked)
