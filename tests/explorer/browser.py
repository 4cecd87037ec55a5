"""Headless Chromium from the npm package, driven by Playwright."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

_ROOT = Path(__file__).resolve().parents[2]
_UNPACK = """
import chromium from "@sparticuz/chromium";
console.log(JSON.stringify([await chromium.executablePath(), chromium.args]));
"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Starts one; it is unpacked once per machine."""
    unpacked = subprocess.run(
        ["node", "--input-type=module", "--eval", _UNPACK],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    path, arguments = json.loads(unpacked.stdout)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments, headless=True)
        yield browser
        browser.close()


def visit(page: Page, url: str, fragment: str) -> None:
    """A fresh load, so that nothing of the page before is waited for."""
    page.goto("about:blank")
    page.goto(url + fragment)
    page.wait_for_selector("main h1")


def until(page: Page, expression: str, within_s: float = 60.0) -> None:
    """Until this is true in the page. Playwright's own way evaluates a text in it, which the pages' policy forbids."""
    end = time.monotonic() + within_s
    while not page.evaluate(expression):
        assert time.monotonic() < end, expression
        page.wait_for_timeout(50)
