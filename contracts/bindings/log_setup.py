"""Where the programs' log lines go, in which form and from which level on: one set-up for provider, challenger and monitor.

    console   2026-11-29T05:41:44Z [info     ] moved   [challenger.game_play] game=1 move=ChallengePart gas=81234
    json      the same, one object per line

Two things never reach a log: what clients wrote and were answered (by the names of fields, and because the message of an
unforeseen exception is left out, which may quote them), and the variables of a traceback. A failure that comes again and again
is one line when it begins, and then one with a count, after a minute, two, four, at most an hour.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable, MutableMapping
from typing import Any, Literal

import structlog

from prover.errors import GainsayError

Level = Literal["debug", "info", "warning", "error"]
Form = Literal["console", "json"]

_Event = MutableMapping[str, Any]
_SECRET = frozenset(
    {
        "prompt",
        "messages",
        "text",
        "content",
        "completion",
        "answer",
        "prompt_ids",
        "output_ids",
        "password",
        "api_key",
    }
)
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 60.0, 3600.0
_MOST_KEPT = 1000
#: Fields that differ from one time to the next of the same failure.
_VOLATILE = frozenset({"exc_info", "timestamp", "seconds_left", "deadline", "level", "exception"})
_NUMBER = re.compile(r"\d+")


def configure_logging(level: Level = "info", form: Form = "console") -> None:
    """To standard error, as it is when a line is written. Programs that embed a provider call it too."""
    render: Any = structlog.processors.JSONRenderer()
    if form == "console":
        # Its default shows the variables of every frame where `rich` is installed.
        plain = structlog.dev.plain_traceback
        render = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=plain, sort_keys=False)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            without_secrets,
            Repetitions(),
            with_plain_traceback,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(StandardError()),  # type: ignore[arg-type]
        cache_logger_on_first_use=False,
    )


class StandardError:
    """Standard error as it is now: what was there at the start may be closed.

    What cannot be written is dropped (a full disk, a pipe that nobody reads any more): a loop that tells its failure in a line
    would otherwise end in telling it.
    """

    def write(self, text: str) -> int:
        try:
            return sys.stderr.write(text)
        except (OSError, ValueError):
            return len(text)

    def flush(self) -> None:
        try:
            sys.stderr.flush()
        except (OSError, ValueError):
            return


def without_secrets(_logger: Any, _method: str, event: _Event) -> _Event:
    """What clients wrote or were answered is not logged, whoever passes it."""
    for name in _SECRET & event.keys():
        event[name] = "(not logged)"
    return event


def with_plain_traceback(_logger: Any, _method: str, event: _Event) -> _Event:
    """`exc_info` as text: places and types, and messages of our own errors and the system's only."""
    given = event.pop("exc_info", None)
    error = sys.exc_info()[1] if given is True else given[1] if isinstance(given, tuple) else given
    if isinstance(error, BaseException):
        event["exception"] = traceback_text(error)
    return event


def traceback_text(error: BaseException) -> str:
    """Where an exception came from, without variables, and without a message that may quote a client."""
    parts = []
    for each in _chain(error):
        frames = "".join(traceback.format_tb(each.__traceback__))
        parts.append(f"Traceback (most recent call last):\n{frames}{type(each).__name__}: {told_of(each)}")
    return "\nThat led to:\n".join(parts)


def told_of(error: BaseException) -> str:
    """The message of an error of our own, of the system or of a database's driver; another's may quote what a client wrote, or what a private
    model computed, and a database's own error quotes its parameters."""
    from sqlalchemy.exc import DBAPIError

    if isinstance(error, DBAPIError):
        return str(error.orig)
    return str(error) if isinstance(error, GainsayError | OSError) else "(message not logged)"


def _chain(error: BaseException) -> list[BaseException]:
    """The causes of an error, first things first."""
    found: list[BaseException] = []
    now: BaseException | None = error
    while now is not None and now not in found and len(found) < 8:
        found.append(now)
        now = now.__cause__ or (None if now.__suppress_context__ else now.__context__)
    return found[::-1]


class Repetitions:
    """Drops a warning or an error that was there a moment ago, and says later how often it came."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        # what it is -> [when it is said again, the pause behind that, how often it was dropped]
        self._seen: OrderedDict[tuple[object, ...], list[float]] = OrderedDict()

    def __call__(self, _logger: Any, method: str, event: _Event) -> _Event:
        """Raises structlog.DropEvent."""
        if method not in ("warning", "error", "exception", "critical"):
            return event
        key, now = _what(event), self._clock()
        with self._lock:
            known = self._seen.pop(key, None)
            if known is None or now > known[0] + known[1]:  # new, or forgotten meanwhile
                if known is not None and known[2]:
                    event["times_before"] = int(known[2])
                known = [now + _FIRST_PAUSE_S, _FIRST_PAUSE_S, 0]
                drop = False
            elif now < known[0]:
                known[2] += 1
                drop = True
            else:
                event["times"] = int(known[2]) + 1
                event.pop("exc_info", None)
                pause = min(2 * known[1], _LONGEST_PAUSE_S)
                known, drop = [now + pause, pause, 0], False
            self._seen[key] = known
            while len(self._seen) > _MOST_KEPT:
                self._seen.popitem(last=False)
        if drop:
            raise structlog.DropEvent
        return event


def _what(event: _Event) -> tuple[object, ...]:
    """A failure by its words; numbers in sentences may differ (seconds, blocks), those of games and batches are who."""
    return tuple(
        (name, _NUMBER.sub("#", value) if isinstance(value, str) else str(value)[:200])
        for name, value in sorted(event.items())
        if name not in _VOLATILE
    )
