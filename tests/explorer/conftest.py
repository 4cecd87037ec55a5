"""One past for all tests of the explorer, on the session's chain."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from playwright.sync_api import Page

from devnet.anvil import free_port
from explorer.index import Index
from explorer.server import Explorer, create_application
from tests.contracts.chain_game import PostedBatch
from tests.contracts.local_chain import LocalChain, contracts, deployment, local_chain  # noqa: F401

from .browser import chromium
from .stage import Stage


@dataclass
class Past:
    """Game 1: the provider lied and lost; game 2: it proved; game 3: at its second move."""

    stage: Stage
    first: PostedBatch
    second: PostedBatch
    lost: int
    won: int
    open: int


@pytest.fixture(scope="package")
def past(local_chain: LocalChain) -> Past:  # noqa: F811
    stage = Stage.prepare(local_chain, steps=20, tokens=90, arity=10)
    first = stage.post(3)
    lost = stage.open(first, 1)
    stage.play(lost, stage.trace((13, 1)), stage.trace())
    stage.time_out(lost)
    stage.arena.resume()
    second = stage.post(30)
    won = stage.open(second, 7)
    stage.play(won, stage.trace(), stage.trace((5, 2)))
    running = stage.open(second, 8)
    stage.play(running, stage.trace((13, 1)), stage.trace(), moves=2)
    return Past(stage, first, second, lost, won, running)


def explorer_of(stage: Stage, index: Index) -> Explorer:
    names = {stage.arena.model_id: "tiny"}
    steps = {stage.arena.model_id: stage.model.step_name}
    return Explorer.over(index, 0.3, model_names=names, step_names=steps)


@pytest.fixture(scope="package")
def index(past: Past) -> Index:
    index = Index(past.stage.contracts)
    assert index.catch_up()
    return index


@dataclass
class Served:
    """A started server; its `url` ends with a slash."""

    url: str


def serve(app: FastAPI) -> Iterator[Served]:
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield Served(f"http://127.0.0.1:{port}/")
    server.should_exit = True
    thread.join(10)


@pytest.fixture(scope="package")
def served(past: Past, index: Index) -> Iterator[Served]:
    yield from serve(create_application(explorer_of(past.stage, index)))


@pytest.fixture(scope="package")
def page() -> Iterator[Page]:
    """One for all tests: the browser is one process, and ends with its first page."""
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1120, "height": 900})
        page.set_default_timeout(60_000)
        yield page


@pytest.fixture
def faults(page: Page) -> Iterator[list[str]]:
    """What the console, failed scripts and the policy complain about; 404 of a page that is not there is none."""
    found: list[str] = []
    told: dict[str, Any] = {
        "console": lambda message: (
            message.type == "error" and "404" not in message.text and found.append(message.text)
        ),
        "pageerror": lambda error: found.append(str(error)),
    }
    for name, listen in told.items():
        page.on(name, listen)  # type: ignore[call-overload]
    yield found
    for name, listen in told.items():
        page.remove_listener(name, listen)
