"""Times as people write them: a whole number and, after it, a unit ("90 s", "36 hours", "3 days"); exact seconds."""

from __future__ import annotations

import re

from prover.errors import UsageError

SECONDS = {"day": 86_400, "hour": 3_600, "minute": 60, "second": 1}
LONGEST_S = 2**64 - 1
_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400} | {
    name + plural: seconds for name, seconds in SECONDS.items() for plural in ("", "s")
}
_DURATION = re.compile(r"(?P<number>[0-9]{1,20}) *(?P<unit>[a-z]*)", re.ASCII)


class DurationError(UsageError):
    """A text is no time."""


def parse_seconds(text: str) -> int:
    """Seconds of a time such as "90", "90 s", "36 hours" or "3 days"; raises DurationError for anything else."""
    found = _DURATION.fullmatch(text.strip().lower())
    factor = _UNITS.get(found["unit"] or "s") if found else None
    if found is None or factor is None:
        raise DurationError(
            f"{text[:60]!r} is no time; write a whole number of seconds, minutes, hours or days, such as '36 hours'"
        )
    seconds = int(found["number"]) * factor
    if seconds > LONGEST_S:
        raise DurationError(f"{text[:60]!r} is longer than 2^64 - 1 seconds; correct it")
    return seconds


def show_duration(seconds: int) -> str:
    """The same time in the largest unit that divides it: "3 days", "36 hours", "90 seconds"."""
    name, size = next((n, s) for n, s in SECONDS.items() if seconds % s == 0 and (seconds or s == 1))
    return f"{seconds // size} {name}{'' if seconds == size else 's'}"
