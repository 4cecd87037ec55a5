"""How a disputed range of steps is cut into parts."""

from __future__ import annotations

from collections.abc import Sequence

from eth_hash.auto import keccak


def cuts(range_start: int, range_end: int, arity: int) -> list[int]:
    """Step numbers of the cuts of range_start .. range_end-1, both ends included.

    n steps make m = min(arity, n) parts; part i ends at range_start + floor(n (i + 1) / m).
    """
    steps = range_end - range_start
    if steps < 1 or arity < 2:
        raise ValueError(f"A range of {steps} steps cannot be cut into {arity} parts.")
    parts = min(arity, steps)
    return [range_start + steps * i // parts for i in range(parts + 1)]


def boundaries_hash(boundaries: Sequence[bytes]) -> bytes:
    """keccak256 of the boundary hashes one after another: all that a game keeps of what it is about."""
    return keccak(b"".join(boundaries))


def rounds_at_most(step_count: int, arity: int) -> int:
    """Bisection rounds until every part is a single step, in the longest game."""
    rounds, steps = 0, step_count
    while steps > 1:
        parts = min(arity, steps)
        steps = -(-steps // parts)
        rounds += 1
    return max(rounds, 1)
