"""`gainsay doctor`: everything that an operator can get wrong, looked at one after the other, nothing changed.

A check returns what it found or raises what is wrong; a check whose grounds failed is skipped and says so. What the
programs check at their start is called here as they call it, so that a green table means a start.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from prover.errors import GainsayError

OK, WARNING, FAILED, SKIPPED = "ok", "warning", "failed", "skipped"


@dataclass(frozen=True)
class Line:
    """One line of the table: a check, its verdict, what was found, and what to do (where something is to be done)."""

    check: str
    state: str
    found: str
    todo: str = ""


class Wrong(GainsayError):
    """A check failed: what was found, and what to do."""

    def __init__(self, found: str, todo: str) -> None:
        super().__init__(f"{found}; {todo}")
        self.found, self.todo = found, todo


class Doubtful(Wrong):
    """It works, but should not stay so."""


@dataclass(frozen=True)
class Check:
    """`needs`: names of checks without which this one makes no sense. `look` reads from and adds to what is known."""

    name: str
    look: Callable[[Known], str]
    needs: tuple[str, ...] = ()


@dataclass
class Known:
    """What the checks so far found, for those behind them."""

    flags: Mapping[str, Any]
    facts: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        return self.facts[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self.facts[name] = value


def examine(
    checks: Sequence[Check], known: Known, tell: Callable[[Line], None] = lambda line: None
) -> list[Line]:
    """All lines, each told as soon as it is known."""
    lines: list[Line] = []
    states: dict[str, str] = {}
    for check in checks:
        started = time.monotonic()
        missing = [name for name in check.needs if states.get(name) in (FAILED, SKIPPED)]
        if missing:
            line = Line(check.name, SKIPPED, f"needs: {', '.join(missing)}")
        else:
            line = _line(check, known)
        states[check.name] = line.state
        lines.append(line)
        known[f"seconds {check.name}"] = time.monotonic() - started
        tell(line)
    return lines


def _line(check: Check, known: Known) -> Line:
    try:
        return Line(check.name, OK, check.look(known))
    except Doubtful as error:
        return Line(check.name, WARNING, error.found, error.todo)
    except Wrong as error:
        return Line(check.name, FAILED, error.found, error.todo)
    except GainsayError as error:
        found, _, todo = " ".join(str(error).split()).partition("; ")
        return Line(check.name, FAILED, found, todo or "correct that")
    except OSError as error:
        return Line(
            check.name, FAILED, f"this machine refused: {error}", "look at its disk, folders and limits"
        )
    except Exception as error:  # a check must never hide the others
        found = f"unexpected {type(error).__name__}: {' '.join(str(error).split())}"
        return Line(check.name, FAILED, found, "set GAINSAY_DEBUG=1 and start the program to see where")


def is_well(lines: Sequence[Line]) -> bool:
    """Whether nothing failed."""
    return all(line.state in (OK, WARNING) for line in lines)
