"""Headless Chromium from the npm package, driven by Playwright."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

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
