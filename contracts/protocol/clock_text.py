"""Times as people read them; everything else counts in seconds since 1970 (UTC)."""

from __future__ import annotations

from datetime import UTC, datetime

_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def show_time(timestamp: int) -> str:
    """A chain's time in UTC: "2026-11-29 05:41:44 UTC"; what no calendar holds stays a number."""
    try:
        return f"{datetime.fromtimestamp(timestamp, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return str(timestamp)


def show_span(seconds: float) -> str:
    """A length of time by its two largest units: "3 d 4 h", "1 min 5 s", "0 s"."""
    left, parts = int(abs(seconds)), []
    for unit, size in _UNITS:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
        elif parts:
            break  # "2 d 5 s" would claim what nobody reads
    return " ".join(parts[:2]) or "0 s"


def show_deadline(deadline: int, now: int) -> str:
    """A deadline with the time that is left: "2026-11-29 05:41:44 UTC (1 min 5 s left)"."""
    left = deadline - now
    return f"{show_time(deadline)} ({show_span(left)} {'left' if left >= 0 else 'ago'})"
