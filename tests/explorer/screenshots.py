"""The explorer's pictures in the documentation: `python -m tests.explorer.screenshots` plays a past on Anvil and draws it."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from contracts.bindings.chain import Chain
from devnet.anvil import free_port, start_anvil, stop_process
from explorer.index import Index
from explorer.server import create_application
from tests.contracts.local_chain import LocalChain

from .browser import chromium
from .conftest import explorer_of, serve
from .stage import Stage

_FOLDER = Path(__file__).resolve().parents[2] / "docs" / "explorer"
#: file: (page, width, height, theme)
PICTURES: dict[str, tuple[str, int, int, Literal["light", "dark"]]] = {
    "overview": ("", 1120, 860, "light"),
    "dispute": ("#/games/1", 1120, 1010, "light"),
    "proven": ("#/games/2", 1120, 860, "dark"),
    "phone": ("#/games/4", 360, 860, "dark"),
}


def play(stage: Stage) -> None:
    """A lie that was found, a false accusation, and three disputes that run."""
    lied = stage.post(30)
    lost = stage.open(lied, 3)
    stage.play(lost, stage.trace((49, 3)), stage.trace())
    stage.time_out(lost)
    stage.arena.resume()
    posted = stage.post(60)
    stage.play(stage.open(posted, 7), stage.trace(), stage.trace((37, 5)))
    stage.play(stage.open(posted, 11), stage.trace((0, 2)), stage.trace(), moves=3)
    stage.play(stage.open(posted, 12), stage.trace((61, 1)), stage.trace(), moves=6)
    stage.play(stage.open(posted, 13), stage.trace((61, 1)), stage.trace(), moves=2)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        anvil = start_anvil(free_port(), Path(folder) / "anvil.log", block_time_s=None)
        try:
            stage = Stage.prepare(LocalChain(Chain(anvil.rpc_url), Path(folder)))
            play(stage)
            with contextmanager(serve)(
                create_application(explorer_of(stage, Index(stage.contracts)))
            ) as served:
                take(served.url)
        finally:
            stop_process(anvil.pid)


def take(url: str) -> None:
    """All pictures, into docs/explorer."""
    _FOLDER.mkdir(exist_ok=True)
    with chromium() as browser:  # which runs as one process, and ends with its first page
        for name, (page, width, height, theme) in PICTURES.items():
            tab = browser.new_page(viewport={"width": width, "height": height}, color_scheme=theme)
            tab.goto(url + page)
            tab.wait_for_selector("main table", timeout=60_000)
            tab.screenshot(path=_FOLDER / f"{name}.png")


if __name__ == "__main__":
    main()
