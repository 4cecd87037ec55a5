"""When something is tried again."""

from __future__ import annotations


def backoff_s(tries: int, *, first_s: float, longest_s: float) -> float:
    """first, 2·first, 4·first, ... up to the longest pause, after 1, 2, 3, ... tries."""
    return min(longest_s, first_s * 2.0 ** min(max(tries - 1, 0), 60))
