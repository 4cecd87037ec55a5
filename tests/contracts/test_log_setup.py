"""Log lines: form, level, what never gets there, and one line for a failure that comes again and again."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from sqlalchemy.exc import OperationalError

from contracts.bindings.log_setup import Form, Level, Repetitions, configure_logging, told_of
from node.errors import error_sentence
from prover.errors import GainsayError

SECRET = "the client's own words"


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., list[str]]]:
    before = structlog.get_config()

    def logged(level: Level, form: Form, write: Callable[[Any], None]) -> list[str]:
        configure_logging(level, form)
        write(structlog.get_logger("a.module"))
        out, err = capsys.readouterr()
        assert out == ""
        return err.splitlines()

    yield logged
    structlog.configure(**before)


def _fail(error: type[Exception], prompt: str) -> None:
    local = prompt * 2  # what a traceback with variables would show
    raise error(local)


def _log_failure(error: type[Exception]) -> Callable[[Any], None]:
    def write(log: Any) -> None:
        try:
            _fail(error, SECRET)
        except Exception as caught:
            log.error("unexpected error", exc_info=caught)
            log.warning("step failed", worker="poster", exc_info=True)

    return write


@pytest.mark.parametrize("form", ["console", "json"])
def test_no_words_of_a_client_and_no_variables_reach_the_log(
    lines: Callable[..., list[str]], form: Form
) -> None:
    written = "\n".join(lines("info", form, _log_failure(ValueError)))
    assert SECRET not in written and "unexpected error" in written and "step failed" in written
    assert "ValueError: (message not logged)" in written and "in _fail" in written
    ours = "\n".join(lines("info", form, _log_failure(GainsayError)))
    assert f"GainsayError: {SECRET}" in ours and "local =" not in ours
    named = lines("info", form, lambda log: log.info("answered", prompt=SECRET, output_ids=[1, 2, 3], game=4))
    assert SECRET not in named[0] and "[1, 2, 3]" not in named[0] and "(not logged)" in named[0]


def test_json_lines_have_time_level_and_fields(lines: Callable[..., list[str]]) -> None:
    def write(log: Any) -> None:
        log.debug("too little")
        log.info("moved", game=4, gas=81_234)
        log.error("outage", because="no\nanswer")

    written = [json.loads(line) for line in lines("info", "json", write)]
    assert [(line["level"], line["event"]) for line in written] == [("info", "moved"), ("error", "outage")]
    assert written[0]["gas"] == 81_234 and written[0]["timestamp"].endswith("Z")
    assert json.loads(lines("debug", "json", write)[0])["event"] == "too little"
    assert [json.loads(line)["event"] for line in lines("error", "json", write)] == ["outage"]
    assert lines("info", "console", write)[0].endswith("moved                          game=4 gas=81234")


def test_a_failure_that_comes_again_is_one_line_with_a_count() -> None:
    now = 0.0
    drop = Repetitions(lambda: now)
    said: list[tuple[float, dict[str, Any]]] = []

    def fail(method: str = "warning", **fields: Any) -> None:
        event = {"event": "step failed", "exc_info": True, **fields}
        with contextlib.suppress(structlog.DropEvent):
            said.append((now, dict(drop(None, method, event))))

    for now in range(400):
        fail(worker="poster", error=f"no block since {now} s")
    assert [at for at, _ in said] == [0, 60, 180]
    assert [event.get("times") for _, event in said] == [None, 60, 120]
    assert "exc_info" in said[0][1] and "exc_info" not in said[1][1]
    said.clear()
    for game in range(5):
        fail(game=game)  # five games that fail are five failures
    for _ in range(5):
        fail("info", worker="poster")  # moves are no failures
    assert len(said) == 10
    for number in range(3000):
        fail(worker=f"{number}", game=number)
    assert len(drop._seen) <= 1000


def test_no_words_of_a_client_reach_a_status() -> None:
    """`readyz` and the log of a node say the type of an unforeseen failure; an error of our own, or the system's, in its own words."""
    assert SECRET not in error_sentence(ValueError(SECRET)) and "ValueError" in error_sentence(
        ValueError(SECRET)
    )
    assert error_sentence(GainsayError("deposit first")) == "deposit first"
    assert "no space" in error_sentence(OSError("no space"))
    locked = OperationalError(
        "UPDATE response", {"prompt": SECRET}, sqlite3.OperationalError("database is locked")
    )
    assert told_of(locked) == "database is locked" and SECRET in str(locked)
    assert told_of(KeyError(SECRET)) == "(message not logged)" and told_of(GainsayError("why")) == "why"
