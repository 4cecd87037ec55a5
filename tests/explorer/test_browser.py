"""The pages in a browser: minutes, and in `make test-long` only. What every run looks at is in test_one_past.py."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, Route

from contracts.protocol.game import Outcome
from explorer.index import Index
from explorer.server import Explorer, create_application

from .browser import until, visit
from .conftest import Past, Served, serve

EVERY_PAGE = [
    "", "#/games", "#/games/1", "#/games/2", "#/games/3", "#/responses", "#/responses/1/1", "#/batches", "#/batches/2", "#/audits", "#/models",
    "#/accounts", "#/glossary", "#/search?q=nothing", "#/nowhere", "#/games/999",
]  # fmt: skip


@pytest.mark.long
def test_a_dispute_is_watched_to_its_end(page: Page, served: Served, past: Past, faults: list[str]) -> None:
    batch = past.stage.post(1)
    game = past.stage.open(batch)
    visit(page, served.url, f"#/games/{game}")
    seen = set()
    while past.stage.step(game, past.stage.trace((13, 1)), past.stage.trace()):
        count = past.stage.contracts.game.game(game)
        page.wait_for_timeout(2500)
        seen.add((int(count.phase), page.inner_text(".lead")))
    past.stage.time_out(game)
    until(page, "document.getElementById('said').textContent.includes('over')")
    until(page, "document.querySelector('h1').textContent.includes('answer is void')")
    assert past.stage.contracts.game.game(game).outcome is Outcome.CHALLENGER_WON
    assert len({text for _, text in seen}) >= 3 and "not proven" in page.inner_text("figure")
    assert page.locator("figure .lost").count() >= 2
    assert faults == []


@pytest.mark.long
@pytest.mark.parametrize(("width", "theme"), [(320, "light"), (320, "dark"), (1120, "light")])
def test_no_page_scrolls_sideways(
    page: Page, served: Served, faults: list[str], width: int, theme: Any
) -> None:
    page.set_viewport_size({"width": width, "height": 700})
    page.emulate_media(color_scheme=theme)
    for fragment in EVERY_PAGE:
        visit(page, served.url, fragment)
        page.wait_for_timeout(200)
        wide = page.evaluate(
            f"[...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > {width} && !e.closest('.hidden, .scroll'))"
            ".map(e => e.outerHTML.slice(0, 200))"
        )
        assert page.evaluate("document.documentElement.scrollWidth") <= width, (fragment, wide)
        small = page.evaluate(
            "[...document.querySelectorAll('main button, nav a')].filter(e => { const r = e.getBoundingClientRect();"
            " return r.width && (r.width < 24 || r.height < 24); }).map(e => e.outerHTML)"
        )
        assert small == [], fragment
    assert faults == []
    page.set_viewport_size({"width": 1120, "height": 900})


@pytest.mark.long
def test_everything_is_reached_with_the_keyboard(page: Page, served: Served, past: Past) -> None:
    visit(page, served.url, f"#/games/{past.lost}")
    reached = []
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                "(e => [e.localName, e.className.baseVal ?? e.className, e.textContent.trim()])(document.activeElement)"
            )
        )
    assert reached[0][2] == "Skip to the content" and reached[2][0] == "input" and reached[3][2] == "Search"
    assert [one[2] for one in reached[4:12]] == ["Overview", "Disputes", "Responses", "Batches", "Audits", "Models", "Providers", "Glossary"]  # fmt: skip
    kinds = {one[1] for one in reached}
    assert {"copy", "term"} <= kinds
    term = page.locator(".side.provider .term")
    term.focus()
    assert "stake behind them" in page.inner_text("#tip") and term.get_attribute("aria-describedby") == "tip"
    page.keyboard.press("Escape")
    assert page.locator("#tip").is_hidden()
    page.locator(".side.provider .term").hover()
    assert page.locator("#tip").is_visible()


@pytest.mark.long
def test_a_search_leads_to_the_page_and_moves_the_focus_there(
    page: Page, served: Served, past: Past, index: Index
) -> None:
    visit(page, served.url, "")
    root = index.books.batches[past.first.batch_id].root.hex()
    page.fill("#q", "0x" + root)
    page.keyboard.press("Enter")
    until(page, "location.hash.startsWith('#/batches/')")
    until(page, "document.querySelector('main h1').textContent.startsWith('Batch')")
    assert page.evaluate("document.activeElement.localName") == "h1"
    assert page.title() == f"Batch {past.first.batch_id} · Gainsay explorer"


#: As a name of a model, an id, a sentence of a server: whatever a stranger may write.
HOSTILE = [
    '<img src=x onerror="window.hit=1">',
    "javascript:window.hit=1",
    '"><script>window.hit=1</script>',
    "{{7*7}}",
    "\u202e\u0000]]>",
    "a" * 3000,
]


@pytest.mark.long
def test_what_strangers_write_is_text(page: Page, past: Past, index: Index) -> None:
    for text in HOSTILE:
        explorer = Explorer.over(
            index, 0.5, model_names={past.stage.arena.model_id: text}, step_names={past.stage.arena.model_id: lambda step, text=text: text},  # type: ignore[misc]
            about={"provider": text, "model": text, "texts": True},
        )  # fmt: skip
        for served in serve(create_application(explorer)):
            explorer.keeper.problem = text
            page.route(re.compile("/v1/texts/"), _answering({"prompt": text, "answer": text}))
            page.route(re.compile("/v1/settlement"), _answering(_settlement(text)))
            for fragment in (
                "",
                "#/games/1",
                f"#/models/0x{past.stage.arena.model_id.hex()}",
                "#/responses/1/1",
                "#/search?q=<img src=x onerror=window.hit=1>",
            ):
                visit(page, served.url, fragment)
                if fragment == "#/responses/1/1":
                    page.fill("#key", "chatcmpl-1")
                    page.keyboard.press("Enter")
                    page.wait_for_selector(".text")
                assert page.evaluate("window.hit") is None, (text, fragment)
                assert (
                    page.evaluate(
                        "document.querySelectorAll('main script, main img, main [onerror], a[href^=javascript]').length"
                    )
                    == 0
                )
            page.unroute(re.compile("/v1/texts/"))
            page.unroute(re.compile("/v1/settlement"))


def _answering(body: dict[str, Any]) -> Callable[[Route], None]:
    return lambda route: route.fulfill(json=body)


def _settlement(text: str) -> dict[str, Any]:
    waiting = {
        "batch_id": None,
        "salt": text,
        "state": text,
        "count": 1,
        "failure": text,
        "posting_deadline": 1,
    }
    return {
        "batches": [waiting],
        "provider": {"address": text},
        "model": {"name": text},
        "totals": {"responses": 1},
    }
